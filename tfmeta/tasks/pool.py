"""Examples of a data set's classes in memory, from which few-shot tasks are drawn."""

import functools
import hashlib
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples sorted by class.

    Attributes:
        images: [N, ...], the examples of class 0, then of class 1, ...; images are uint8
            [N, height, width, channels].
        counts: examples of each class, int [classes].
        class_names: a name for each class.
        known_sha256: sha256 of the bytes of `images` where it is known already.
        others: where the data set's other classes are, for messages; empty where it has none.
        scaled: whether `images` are uint8 images that tasks show as float32 in [0, 1]; else tasks
            have them as they are.
    """

    images: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]
    known_sha256: str | None = field(default=None)
    others: str = ""
    scaled: bool = True

    @functools.cached_property
    def sha256(self) -> str:
        """sha256 of the bytes of `images`, as hexadecimal digits."""
        if self.known_sha256:
            return self.known_sha256
        return hashlib.sha256(np.ascontiguousarray(self.images).view(np.uint8).data).hexdigest()

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Position of each class's first example, int64 [classes]."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an example; of an image height, width, channels."""
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
            scaled=self.scaled,
        )


def pool_of_labels(
    images: np.ndarray, labels: np.ndarray, class_names, scaled: bool = True
) -> Pool:
    """Sorts labelled examples into a pool.

    Args:
        images: [N, ...]; images uint8 [N, height, width, channels].
        labels: int [N], positions in `class_names`. Within a class the order is kept.
        class_names: names of the classes.
        scaled: of the pool.
    """
    order = np.argsort(labels, kind="stable")
    if not np.array_equal(order, np.arange(len(labels))):
        images = images[order]
    counts = np.bincount(labels, minlength=len(class_names))
    return Pool(images, counts, tuple(str(name) for name in class_names), scaled=scaled)
