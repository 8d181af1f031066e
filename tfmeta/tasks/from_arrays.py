"""Few-shot classification tasks from arrays of labelled images."""

import numpy as np

from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import pool_of_labels
from tfmeta.tasks.splits import split_by_fractions
from tfmeta.tasks.stream import TaskStream


def from_arrays(
    images,
    labels,
    split: str = "all",
    ways: int = 5,
    shots: int = 1,
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
) -> TaskStream:
    """A stream of few-shot classification tasks from images in memory.

    Example:

    >>> import numpy as np, tfmeta
    >>> images = np.random.RandomState(0).randint(0, 256, (60, 8, 8, 3)).astype("uint8")
    >>> labels = np.repeat(np.arange(10), 6)
    >>> stream = tfmeta.tasks.from_arrays(images, labels, ways=3, shots=2, queries=4)
    >>> (support_x, support_y, query_x), query_y = stream.sample(0)
    >>> support_x.shape, query_y.shape
    (TensorShape([6, 8, 8, 3]), TensorShape([12]))

    Args:
        images: [N, height, width, channels] or [N, height, width]; uint8, or floats in [0, 1]
            (kept as uint8).
        labels: [N]; whole numbers or strings, any.
        split: "all" for tasks of all classes; "train", "validation" or "test" for a part of them,
            by a fixed shuffle.
        ways: classes a task.
        shots: support images a class.
        queries: query images a class.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        label_scope: "task": labels 0 .. ways - 1, drawn anew for each task; "split": the position
            of a class among those of the split (for training one classifier of all classes).
        validation_fraction: share of the classes that is the validation split.
        test_fraction: share of the classes that is the test split.
        shuffle_seed: of the shuffle that divides the classes.
        name: what `.info` and messages call the data.

    Returns:
        A `TaskStream` of images float32 [N, height, width, channels] in [0, 1] and labels
        int32 [N].

    Raises:
        ValueError: for arrays that do not fit, too few classes, or a class with too few images.
    """
    images = _as_bytes(np.asarray(images))
    labels = np.asarray(labels)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            "labels must hold one label an image. "
            f"Received: labels {labels.shape} for images {images.shape}. Pass labels [N]."
        )
    class_names, positions = np.unique(labels, return_inverse=True)
    pool = pool_of_labels(images, positions, class_names)
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


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """A copy as uint8 [N, height, width, channels], which no caller can change afterwards."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "images must be [N, height, width, channels] or [N, height, width], none of them 0. "
            f"Received: {images.shape}. Reshape them."
        )
    if images.dtype == np.uint8:
        return images.copy()
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"images must be uint8, or floats in [0, 1]. Received: {images.dtype}. "
            "Convert them, e.g. images.astype('uint8')."
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"Images of floats must lie in [0, 1]. Received: values from {low} to {high}. "
            "Scale them, or pass uint8."
        )
    return np.rint(images * 255).astype(np.uint8)
