"""Tasks from a table: a group of rows (a shop, a patient, a machine) is a task."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tfmeta.tasks.from_tasks import from_tasks
from tfmeta.tasks.splits import choose_split
from tfmeta.tasks.stream import TaskStream, check_choice
from tfmeta.tasks.table_columns import (
    check_columns,
    check_complete,
    describe_column,
    encode_column,
    read_table,
)


def from_table(
    table: Any,
    split: str = "train",
    shots: int | tuple[int, int] = 10,
    queries: int | None = None,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    group: str,
    target: str | Sequence[str],
    features: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    standardize: bool = True,
    unseen: str = "refuse",
    delimiter: str = ",",
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    shuffle_seed: int = 0,
    name: str | None = None,
) -> TaskStream:
    """A stream of tasks from a table in which a column says the group that a row belongs to.

    Each group is a task, as `from_tasks` makes them; groups may differ in size. Whole groups are
    held out for validation and test, never rows. Numbers get mean 0 and deviation 1 and texts
    become one input for each category, by the rows of the training groups alone (with
    `split="all"`, of all groups). `info["columns"]` has these facts: `encode_rows` applies them
    to new rows, and `decode_targets` turns predictions back.

    A target of numbers makes a regression; one of texts, of booleans, or named in `categories`,
    makes a classification.

    Example:

    >>> import tfmeta
    >>> shops = tfmeta.tasks.sales_table(shops=20, seed=0)
    >>> stream = tfmeta.tasks.from_table(shops, group="shop", target="sales", shots=8, queries=8)
    >>> (support_x, support_y, query_x), query_y = stream.sample(0)
    >>> support_x.shape, query_y.shape
    (TensorShape([8, 9]), TensorShape([8, 1]))

    Args:
        table: path of a CSV file with a header, a DataFrame, or a mapping from names to values.
        split: "train", "validation" or "test", by a fixed shuffle of the groups, or "all".
        shots: support rows a task, or the least and the most of them.
        queries: query rows a task, at most; None: all that the support set leaves.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        group: the column that says the group.
        target: the column to predict, or several columns of numbers.
        features: the columns to predict from; None: all others.
        categories: columns whose numbers are names, such as postal codes.
        standardize: whether numbers get mean 0 and deviation 1, targets included.
        unseen: what to do with a category that no training group has: "refuse", or "zeros" in
            all inputs of the column.
        delimiter: between the values of a CSV file.
        validation_fraction: share of the groups that is the validation split.
        test_fraction: share of the groups that is the test split.
        shuffle_seed: of the shuffle that divides the groups.
        name: what `.info` and messages call the data; None: the file's name, or "table".

    Returns:
        A `TaskStream` of inputs float32 [N, columns] and targets float32 [N, targets], or labels
        int32 [N].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a column that is not there, a missing value, a column whose values do not
            differ or are of two kinds, an unseen category, or a group of fewer than `shots + 1`
            rows, each by its name.
    """
    check_choice("unseen", unseen, ("refuse", "zeros"))
    columns = read_table(table, delimiter)
    targets, categories = _names(target), _names(categories)
    check_columns(columns, [group], "group")
    check_columns(columns, targets, "target")
    others = [name for name in columns if name not in (group, *targets)]
    used = others if features is None else _names(features)
    check_columns(columns, used, "features")
    check_columns(columns, categories, "categories")
    _check_apart(group, targets, used)
    check_complete(columns, [group], None)
    names = [str(value) for value in columns[group]]
    check_complete(columns, [*used, *targets], names)
    groups = sorted(set(names))
    rows: dict[str, list[int]] = {each: [] for each in groups}
    for row, each in enumerate(names):
        rows[each].append(row)
    fractions = (validation_fraction, test_fraction, shuffle_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from_tasks says the same
        part = "all" if split == "all" else "train"
        known = choose_split(len(groups), part, *fractions, "groups")[0]
    training = [row for position in known for row in rows[groups[position]]]

    def described(column):
        label = column in targets and all(isinstance(v, bool | np.bool_) for v in columns[column])
        category = column in categories or label
        return describe_column(column, columns[column], training, category, standardize)

    facts = {
        "group": group,
        "features": [described(column) for column in used],
        "targets": [described(column) for column in targets],
        "unseen": unseen,
    }
    _check_targets(facts["targets"])
    inputs, outputs = cast(tuple[np.ndarray, np.ndarray], encode_rows(columns, facts))
    return from_tasks(
        [(inputs[rows[each]], outputs[rows[each]]) for each in groups],
        split,
        shots,
        queries,
        seed,
        count,
        start,
        names=groups,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        shuffle_seed=shuffle_seed,
        name=name or (Path(table).stem if isinstance(table, str | os.PathLike) else "table"),
        details={"columns": facts},
    )


def encode_rows(
    rows: Any, columns: Mapping[str, Any], delimiter: str = ","
) -> tuple[np.ndarray, np.ndarray | None]:
    """Encodes rows of a table as `from_table` did.

    Example:

    >>> import tfmeta
    >>> shops = tfmeta.tasks.sales_table(shops=20, seed=0)
    >>> stream = tfmeta.tasks.from_table(shops, group="shop", target="sales")
    >>> new = {"price": [2.5], "promotion": [1], "weekday": ["Sunday"]}
    >>> inputs, targets = tfmeta.tasks.encode_rows(new, stream.info["columns"])
    >>> inputs.shape, targets
    ((1, 9), None)

    Args:
        rows: a table as `from_table` takes it; the group's column is not needed.
        columns: `info["columns"]` of the stream.
        delimiter: between the values of a CSV file.

    Returns:
        Inputs float32 [N, columns]; targets float32 [N, targets] or labels int32 [N], or None
        where the table has no target.

    Raises:
        ValueError: for a column that is not there, a missing value, or an unseen category.
    """
    table = read_table(rows, delimiter)
    names, targets = ([c["name"] for c in columns[part]] for part in ("features", "targets"))
    check_columns(table, names, "features")
    known = [name for name in targets if name in table]
    check_complete(table, [*names, *known], None)
    unseen = columns.get("unseen", "refuse")
    parts = [encode_column(c, table[c["name"]], unseen) for c in columns["features"]]
    inputs = np.concatenate(parts, axis=1)
    if len(known) < len(targets):
        return inputs, None
    encoded = [encode_column(c, table[c["name"]]) for c in columns["targets"]]
    if columns["targets"][0]["kind"] == "category":
        return inputs, encoded[0].argmax(axis=1).astype(np.int32)
    return inputs, np.concatenate(encoded, axis=1)


def decode_targets(predictions: Any, columns: Mapping[str, Any]) -> np.ndarray:
    """Turns predictions back into the table's own units, or into its categories.

    Example:

    >>> import numpy as np, tfmeta
    >>> columns = {"targets": [{"name": "sales", "kind": "number", "mean": 20.0, "std": 5.0}]}
    >>> tfmeta.tasks.decode_targets(np.zeros((2, 1)), columns).tolist()
    [[20.0], [20.0]]

    Args:
        predictions: of a regression [N, targets]; of a classification outputs [N, categories].
        columns: `info["columns"]` of the stream.

    Returns:
        float64 [N, targets], or the names of the likeliest categories [N].

    Raises:
        ValueError: for predictions of another number of targets or categories.
    """
    predictions = np.asarray(predictions)
    if columns["targets"][0]["kind"] == "category":
        known = columns["targets"][0]["values"]
        _check_last_axis(predictions, len(known), "categories")
        return np.asarray(known)[predictions.argmax(axis=-1)]
    if predictions.ndim != 1 or len(columns["targets"]) > 1:  # else [N] of one target
        _check_last_axis(predictions, len(columns["targets"]), "targets")
    means, deviations = (np.asarray([c[k] for c in columns["targets"]]) for k in ("mean", "std"))
    return predictions * deviations + means


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _check_last_axis(predictions: np.ndarray, size: int, what: str) -> None:
    """Raises ValueError for predictions that do not end in an axis of `size`."""
    if predictions.shape[-1:] != (size,):
        raise ValueError(
            f"predictions must be [N, {what}]. Received: {list(predictions.shape)} for {size} "
            f"{what}. Pass what the model of these columns predicted."
        )


def _check_apart(group: str, targets: Sequence[str], features: Sequence[str]) -> None:
    twice = [name for name in features if name == group or name in targets]
    again = len(set(targets)) < len(targets) or len(set(features)) < len(features)
    if twice or again or not features or not targets or group in targets:
        raise ValueError(
            "group, target and features must be different columns, at least one of each. "
            f"Received: group={group!r}, target={list(targets)}, features={list(features)}. "
            "Name each column once."
        )


def _check_targets(targets: Sequence[Mapping[str, Any]]) -> None:
    if len(targets) != 1 and any(column["kind"] == "category" for column in targets):
        names = ", ".join(repr(column["name"]) for column in targets)
        raise ValueError(
            f"Several targets must be numbers. Received: {names}, of which one holds categories. "
            "Predict one of them at a time."
        )
