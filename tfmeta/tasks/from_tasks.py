"""Tasks from sets of examples that are tasks already: shops, patients, machines, users."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta.tasks.draws import choose, draw_key, random_bits, uniform_integers
from tfmeta.tasks.from_arrays import checked_array, converted
from tfmeta.tasks.memory import on_host
from tfmeta.tasks.splits import choose_split
from tfmeta.tasks.stream import TaskStream, check_whole_number


def from_tasks(
    tasks: Sequence[tuple[Any, Any]],
    split: str = "all",
    shots: int | tuple[int, int] = 10,
    queries: int | None = None,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    names: Sequence[str] | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    shuffle_seed: int = 0,
    name: str = "tasks",
    details: dict | None = None,
) -> TaskStream:
    """A stream of tasks, each from one of your own sets of examples, which may differ in size.

    Task i takes one set and draws its support and query examples anew, never one twice. Every set
    comes once before any comes again. Sets that have fewer examples than `shots + queries` give
    fewer queries, and `shots=(1, 10)` gives support sets of 1 to 10 examples. The stream then
    yields `((support_x, support_y, query_x, support_weights), query_y, query_weights)`, where
    weight 0 marks filling: it counts in no loss, no metric and no batch statistics.

    Whole sets are held out for validation and test, never examples of a set.

    Example:

    >>> import numpy as np, tfmeta
    >>> shops = [(np.ones((n, 3), "float32"), np.ones((n, 1), "float32")) for n in (6, 9, 30)]
    >>> stream = tfmeta.tasks.from_tasks(shops, shots=5, queries=10)
    >>> x, query_y, query_weights = next(iter(stream.batch(3)))
    >>> x[0].shape, query_y.shape, sorted(query_weights.numpy().sum(axis=1).tolist())
    (TensorShape([3, 5, 3]), TensorShape([3, 10, 1]), [1.0, 4.0, 10.0])

    Args:
        tasks: pairs (x, y) of arrays [n, ...], n differing from pair to pair; x may be a dict of
            arrays.
        split: "all" for tasks of all sets; "train", "validation" or "test" for a part of them, by
            a fixed shuffle.
        shots: support examples a task, or the least and the most of them.
        queries: query examples a task, at most; None: all that the support set leaves.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        names: of the sets, for messages; None: their positions.
        validation_fraction: share of the sets that is the validation split.
        test_fraction: share of the sets that is the test split.
        shuffle_seed: of the shuffle that divides the sets.
        name: what `.info` and messages call the data.
        details: what else `.info` says.

    Returns:
        A `TaskStream`. Inputs and targets keep their types; float64 becomes float32.

    Raises:
        ValueError: for sets that do not fit each other (named), a set of fewer than
            `shots + 1` examples (named), or values that are missing or not finite.
    """
    least, most = _sizes(shots)
    names = [str(number) for number in range(len(tasks))] if names is None else list(names)
    sets = _Sets.of(tasks, names, name)
    small = [k for k, rows in enumerate(sets.counts) if rows < least + 1]
    if small:
        raise ValueError(
            f"Every set needs a query besides {least} support examples. Received: set "
            f"{names[small[0]]!r} of {name} with {sets.counts[small[0]]} examples "
            f"({len(small)} of {len(names)} sets are too small). Lower shots, give a range such as "
            f"shots=(1, {most}), or leave such sets out."
        )
    if queries is not None:
        check_whole_number("queries", queries, 1)
    chosen, others = choose_split(
        len(names), split, validation_fraction, test_fraction, shuffle_seed, "sets"
    )
    info = {
        "name": name,
        "kind": "regression" if sets.is_regression else "classification",
        "split": split,
        "shots": most,
        "queries": int(sets.counts.max()) - least if queries is None else queries,
        "seed": seed,
        "sets": len(chosen),
        "set_names": [names[k] for k in chosen],
        "data_sha256": sets.sha256(chosen),
        **({"least_shots": least} if least < most else {}),
        **({"divided": others} if others else {}),
        **(details or {}),
    }
    keys = {p: draw_key(seed, name, split, p) for p in ("sets", "examples", "shots")}
    sample_block = _block_sampler(sets.select(chosen), least, most, info["queries"], keys)
    return TaskStream(sample_block, info, start, count)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sets:
    """All examples one after another, with where each set begins."""

    inputs: Any  # array [N, ...] or dict of such
    targets: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, tasks, names, name) -> "_Sets":
        if len(tasks) < 1 or len(names) != len(tasks):
            raise ValueError(
                f"tasks must be pairs (x, y), and names one a pair. Received: {len(tasks)} pairs, "
                f"{len(names)} names. Pass at least one pair."
            )
        pairs = [
            _checked_pair(pair, f"{name} {label!r}")
            for pair, label in zip(tasks, names, strict=True)
        ]
        first = _layout(pairs[0])
        for pair, label in zip(pairs, names, strict=True):
            if _layout(pair) != first:
                raise ValueError(
                    "All sets must have inputs and targets of one shape and kind, apart from their "
                    f"first axis. Received: set {label!r} with {_layout(pair)}, set {names[0]!r} "
                    f"with {first}. Reshape or convert them."
                )
        inputs = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *(x for x, _ in pairs))
        targets = np.concatenate([y for _, y in pairs])
        return cls(inputs, targets, np.asarray([len(y) for _, y in pairs]))

    @property
    def is_regression(self) -> bool:
        return self.targets.dtype.kind == "f"

    def select(self, chosen) -> "_Sets":
        """The sets at these positions, in this order."""
        ends = np.cumsum(self.counts)
        rows = np.concatenate([np.arange(ends[k] - self.counts[k], ends[k]) for k in chosen])
        inputs = tf.nest.map_structure(lambda array: array[rows], self.inputs)
        return _Sets(inputs, self.targets[rows], self.counts[chosen])

    def sha256(self, chosen) -> str:
        """sha256 of the examples of some sets."""
        part, digest = self.select(chosen), hashlib.sha256()
        for array in (*tf.nest.flatten(part.inputs), part.targets, part.counts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _block_sampler(sets: _Sets, least: int, most: int, queries: int, keys: dict[str, int]):
    """The function `(first, tasks) -> tasks`."""
    number, longest = len(sets.counts), int(sets.counts.max())
    inputs = tf.nest.map_structure(on_host, sets.inputs)
    targets, counts = on_host(sets.targets), tf.constant(sets.counts, tf.int32)
    starts = tf.constant(np.cumsum(sets.counts) - sets.counts, tf.int64)
    drawn = min(most + queries, longest)
    weighted = least < most or int(sets.counts.min()) < most + queries

    def rows_of(chosen, begin, size, limits):
        """Examples at `begin .. begin + size - 1` of `chosen`, and 0 where there are none left."""
        columns = begin[:, None] + tf.range(size)
        weights = tf.cast(columns < limits[:, None], tf.float32)
        # Filling repeats an example of the set: a loss of it is finite, and has weight 0.
        columns = tf.where(weights > 0, columns, 0)
        rows = tf.gather(chosen, columns, batch_dims=1)
        return tf.nest.map_structure(lambda a: tf.gather(a, rows), inputs), rows, weights

    def sample_block(first, tasks):
        visited = _visited(keys["sets"], first, tasks, number)
        own = tf.gather(counts, visited)
        bits = random_bits(keys["examples"], first, tasks, longest)
        chosen = tf.cast(choose(bits, drawn, own), tf.int64) + tf.gather(starts, visited)[:, None]
        supported = _support_sizes(keys["shots"], first, tasks, least, tf.minimum(most, own - 1))
        support_x, rows, support_weights = rows_of(chosen, tf.zeros_like(own), most, supported)
        support_y = tf.gather(targets, rows)
        ends = tf.minimum(own, supported + queries)
        query_x, rows, query_weights = rows_of(chosen, supported, queries, ends)
        query_y = tf.gather(targets, rows)
        if not weighted:
            return (support_x, support_y, query_x), query_y
        return (support_x, support_y, query_x, support_weights), query_y, query_weights

    return sample_block


def _visited(key: int, first, tasks, number: int):
    """Which set each task takes, int32 [tasks]: each round of tasks has all sets in a new order."""
    index = first + tf.range(tf.cast(tasks, tf.int64), dtype=tf.int64)
    rounds, begun = index // number, first // number
    orders = choose(random_bits(key, begun, rounds[-1] - begun + 1, number), number)
    return tf.gather_nd(orders, tf.stack([rounds - begun, index % number], axis=1))


def _support_sizes(key: int, first, tasks, least: int, most):
    """Support examples of each task, int32 [tasks], evenly from `least` to `most` [tasks]."""
    return uniform_integers(random_bits(key, first, tasks, 1)[:, 0], least, most)


def _sizes(shots) -> tuple[int, int]:
    pair = tuple(shots) if isinstance(shots, Sequence) else (shots, shots)
    if len(pair) != 2:
        raise ValueError(
            f"shots must be a number, or the least and the most. Received: {shots!r}. Pass e.g. "
            "shots=(1, 10)."
        )
    check_whole_number("shots", pair[0], 1)
    check_whole_number("shots", pair[1], pair[0])
    return pair


def _checked_pair(pair, label: str):
    try:
        x, y = pair
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A task is a pair (x, y). Received: {type(pair).__name__} for {label}. Pass inputs "
            "[n, ...] and targets [n, ...]."
        ) from error
    parts = dict(x) if isinstance(x, Mapping) else {"": x}
    inputs = {
        key: _checked(f"x{f'[{key!r}]' if key else ''} of {label}", value)
        for key, value in parts.items()
    }
    targets = _checked(f"y of {label}", y)
    lengths = {len(array) for array in (*inputs.values(), targets)}
    if len(lengths) != 1:
        raise ValueError(
            f"Inputs and targets of a set must be of one length. Received: {label} with "
            f"{sorted(lengths)} examples. Pass one target an input."
        )
    return (inputs if isinstance(x, Mapping) else inputs[""]), targets


def _checked(name: str, values) -> np.ndarray:
    array = checked_array(name, values)
    return converted(name, array, "float32") if array.dtype == np.float64 else array


def _layout(pair) -> str:
    x, y = pair
    parts = x if isinstance(x, Mapping) else {"x": x}
    shown = {**dict(sorted(parts.items())), "y": y}
    return ", ".join(f"{key} {_kind(a)} {list(a.shape[1:])}" for key, a in shown.items())


def _kind(array: np.ndarray) -> str:
    return "str" if array.dtype.kind in "SU" else array.dtype.name
