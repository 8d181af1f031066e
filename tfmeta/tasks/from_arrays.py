"""Few-shot classification tasks from arrays of labelled examples."""

from typing import Any

import numpy as np

from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import pool_of_labels
from tfmeta.tasks.splits import split_by_fractions
from tfmeta.tasks.stream import TaskStream


def from_arrays(
    inputs: Any,
    labels: Any,
    split: str = "all",
    ways: int | tuple[int, int] = 5,
    shots: int | tuple[int, int] | str = 1,
    queries: int = 15,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    label_scope: str = "task",
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    shuffle_seed: int = 0,
    name: str = "arrays",
    dtype: str | None = None,
) -> TaskStream:
    """A stream of few-shot classification tasks from labelled examples in memory.

    Images are kept as uint8 and shown as float32 in [0, 1]: uint8 [N, height, width, channels] or
    [N, height, width], and floats of these shapes that lie in [0, 1]. Everything else (windows of
    a sensor, rows of a table, word numbers, strings, floats beyond [0, 1]) keeps shape and type.
    `dtype` keeps every array as it is, in that type: `dtype="float32"` for windows
    [N, time, channels] in [0, 1], which would be taken for grey images, and for images whose 256
    levels are too few.

    Example:

    >>> import numpy as np, tfmeta
    >>> images = np.random.RandomState(0).randint(0, 256, (60, 8, 8, 3)).astype("uint8")
    >>> labels = np.repeat(np.arange(10), 6)
    >>> stream = tfmeta.tasks.from_arrays(images, labels, ways=3, shots=2, queries=4)
    >>> (support_x, support_y, query_x), query_y = stream.sample(0)
    >>> support_x.shape, query_y.shape
    (TensorShape([6, 8, 8, 3]), TensorShape([12]))

    Args:
        inputs: [N, ...], of numbers, booleans or strings.
        labels: [N]; whole numbers or strings, any.
        split: "all" for tasks of all classes; "train", "validation" or "test" for a part of them,
            by a fixed shuffle.
        ways: classes a task, or the least and the most, of which each task draws a number.
        shots: support examples a class; or the least and the most, of which each task draws one;
            or "meta_dataset", as Meta-Dataset draws them (`docs/guides/any_ways.md`). Tasks of
            different sizes are padded, with weights that say so.
        queries: query examples a class; with "meta_dataset" at most so many.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        label_scope: "task": labels 0 .. ways - 1, drawn anew for each task; "split": the position
            of a class among those of the split (for training one classifier of all classes).
        validation_fraction: share of the classes that is the validation split.
        test_fraction: share of the classes that is the test split.
        shuffle_seed: of the shuffle that divides the classes.
        name: what `.info` and messages call the data.
        dtype: type of the inputs in the tasks, without scaling; None: as said above.

    Returns:
        A `TaskStream` of inputs [N, ...] (images float32 [N, height, width, channels] in [0, 1])
        and labels int32 [N].

    Raises:
        ValueError: for arrays that do not fit, a value that is missing or not finite, too few
            classes, or a class with too few examples.
    """
    inputs, scaled = _kept(checked_array("inputs", inputs), dtype)
    labels = checked_array("labels", labels)
    if labels.shape != inputs.shape[:1]:
        raise ValueError(
            "labels must hold one label an example. "
            f"Received: labels {labels.shape} for inputs {inputs.shape}. Pass labels [N]."
        )
    class_names, positions = np.unique(labels, return_inverse=True)
    pool = pool_of_labels(inputs, positions, class_names, scaled)
    return classification_stream(
        split_by_fractions(pool, split, validation_fraction, test_fraction, shuffle_seed),
        name=name,
        split=split,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        count=count,
        start=start,
        label_scope=label_scope,
        details={
            "validation_fraction": validation_fraction,
            "test_fraction": test_fraction,
            "shuffle_seed": shuffle_seed,
        },
    )


def checked_array(name: str, values, dtype: str | None = None) -> np.ndarray:
    """An array of numbers, booleans or strings, without missing values.

    Args:
        name: of the argument, for messages.
        values: array, or nested lists.
        dtype: type to convert to, or None.

    Raises:
        ValueError: for another kind of values, or one that is missing or not finite.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array [N, ...]. Received: parts of different shapes ({error}). "
            "Bring them to one shape."
        ) from error
    _check_no_masks_or_mixtures(name, values, array)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind not in "biufSU" or not array.ndim or 0 in array.shape:
        raise ValueError(
            f"{name} must be an array [N, ...] of numbers, booleans or strings, not empty. "
            f"Received: {array.dtype} {array.shape}. Convert it, and leave out or fill in missing "
            "values."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} must hold finite numbers. Received: {array[first]} at {list(first)}. Leave "
            "out or fill in missing values."
        )
    return array if dtype is None else array.astype(dtype)


def converted(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in another type.

    Args:
        name: of the argument, for messages.
        array: finite.
        dtype: type to convert to.

    Raises:
        ValueError: for a value that the type cannot hold: a fraction among whole numbers, or one
            beyond its range.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(dtype)
    if values.dtype.kind in "biu" and array.dtype.kind in "biuf":
        wrong = values != array
    elif values.dtype.kind == "f":
        wrong = ~np.isfinite(values)
    else:
        return values
    if wrong.any():
        first = tuple(int(axis) for axis in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} must hold values that {values.dtype} can hold. Received: {array[first]} at "
            f"{list(first)}. Choose another dtype, or scale the values."
        )
    return values


def _check_no_masks_or_mixtures(name: str, values, array: np.ndarray) -> None:
    """Raises ValueError where numpy would make texts of numbers, or forget what is masked."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} must hold no masked values. Received: {np.ma.count_masked(values)} of them. "
            "Leave out or fill in missing values."
        )
    if array.dtype.kind not in "SU" or isinstance(values, np.ndarray):
        return
    parts = np.asarray(values, object).ravel()
    other = next((part for part in parts if not isinstance(part, (str, bytes))), None)
    if other is not None:
        raise ValueError(
            f"{name} must hold texts or numbers, not both. Received: {other!r} among texts. "
            "Convert them, and leave out or fill in missing values."
        )


def _kept(inputs: np.ndarray, dtype: str | None) -> tuple[np.ndarray, bool]:
    """A copy, which no caller can change afterwards; whether it is of images to be scaled."""
    if dtype is not None:
        return converted("inputs", inputs, dtype), False
    like_images = inputs.ndim in (3, 4)
    in_unit = inputs.dtype.kind == "f" and inputs.min() >= 0 and inputs.max() <= 1
    if not like_images or not (inputs.dtype == np.uint8 or in_unit):
        return inputs.copy(), False
    images = inputs[..., None] if inputs.ndim == 3 else inputs
    return (np.rint(images * 255).astype(np.uint8) if in_unit else images.copy()), True
