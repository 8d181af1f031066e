"""Images of a data set's classes in memory, as uint8, from which few-shot tasks are drawn."""

import functools
import hashlib
from dataclasses import dataclass, field

import numpy as np

from tfmeta.tasks.stream import check_choice

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Pool:
    """Images sorted by class.

    Attributes:
        images: uint8 [N, height, width, channels], the examples of class 0, then of class 1, ...
        counts: examples of each class, int [classes].
        class_names: a name for each class.
        known_sha256: sha256 of the bytes of `images` where it is known already.
    """

    images: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]
    known_sha256: str | None = field(default=None)

    @functools.cached_property
    def sha256(self) -> str:
        """sha256 of the bytes of `images`, as hexadecimal digits."""
        return self.known_sha256 or hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest()

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Position of each class's first example, int64 [classes]."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return tuple(int(size) for size in self.images.shape[1:])

    def select(self, classes) -> "Pool":
        """Returns the pool of these classes, in this order."""
        positions = [
            np.arange(self.starts[label], self.starts[label] + self.counts[label])
            for label in classes
        ]
        return Pool(
            self.images[np.concatenate(positions)],
            np.asarray([self.counts[label] for label in classes]),
            tuple(self.class_names[label] for label in classes),
        )


def pool_of_labels(images: np.ndarray, labels: np.ndarray, class_names) -> Pool:
    """Sorts labelled images into a pool.

    Args:
        images: uint8 [N, height, width, channels].
        labels: int [N], positions in `class_names`. Within a class the order is kept.
        class_names: names of the classes.
    """
    order = np.argsort(labels, kind="stable")
    if not np.array_equal(order, np.arange(len(labels))):
        images = images[order]
    counts = np.bincount(labels, minlength=len(class_names))
    return Pool(images, counts, tuple(str(name) for name in class_names))


def split_classes(
    classes: int, split: str, validation: int, test: int, shuffle_seed: int = 0
) -> np.ndarray:
    """Returns the classes of a split, by a fixed shuffle; splits share no class.

    The shuffled classes are cut into train, validation and test, in this order.

    Args:
        classes: number of all classes.
        split: "train", "validation" or "test".
        validation: classes of validation.
        test: classes of test.
        shuffle_seed: another seed, another shuffle. The same on every machine and numpy
            (`RandomState` is frozen).

    Returns:
        int [classes of the split].
    """
    check_choice("split", split, SPLITS)
    order = np.random.RandomState(shuffle_seed).permutation(classes)
    train = classes - validation - test
    cuts = {
        "train": order[:train],
        "validation": order[train : train + validation],
        "test": order[train + validation :],
    }
    return cuts[split]


def split_by_fractions(
    pool: Pool, split: str, validation_fraction: float, test_fraction: float, shuffle_seed: int
) -> Pool:
    """Returns the pool of a split whose size is a fraction of the classes, or all of it.

    Args:
        pool: all classes.
        split: "train", "validation", "test", or "all".
        validation_fraction: share of the classes kept for validation, rounded, and at least one
            class unless it is 0.
        test_fraction: the same for testing.
        shuffle_seed: of the shuffle of the classes.
    """
    check_choice("split", split, (*SPLITS, "all"))
    for name, fraction in (
        ("validation_fraction", validation_fraction),
        ("test_fraction", test_fraction),
    ):
        if not 0 <= fraction < 1:
            raise ValueError(
                f"{name} must be at least 0 and below 1. Received: {fraction!r}. "
                "Pass the share of the classes, e.g. 0.2."
            )
    if split == "all":
        return pool
    classes = len(pool.class_names)
    validation, test = (
        max(1, round(fraction * classes)) if fraction else 0
        for fraction in (validation_fraction, test_fraction)
    )
    sizes = {"train": classes - validation - test, "validation": validation, "test": test}
    if sizes[split] < 1 or sizes["train"] < 0:
        raise ValueError(
            f"Split {split!r} must get at least one class. Received: {classes} classes, "
            f"validation_fraction={validation_fraction}, test_fraction={test_fraction}. "
            "Give more classes, change the fractions, or pass split='all'."
        )
    return pool.select(split_classes(classes, split, validation, test, shuffle_seed))
