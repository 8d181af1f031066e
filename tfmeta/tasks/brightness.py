"""Black and white of images of more than 8 bits, one scale for all images of a data set."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_DEPTHS = (8, 10, 12, 14, 16, 20, 24, 32)  # bits of cameras, scanners and files


class Levels(NamedTuple):
    """Which values become 0 and 255.

    Attributes:
        integers: black and white of images of integers.
        floats: black and white of images of floats.
    """

    integers: tuple[float, float] = (0.0, 255.0)
    floats: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of_json(cls, found: dict[str, list[float]]) -> "Levels":
        """The levels that `as_json` described."""
        pairs = [(float(found[name][0]), float(found[name][1])) for name in cls._fields]
        return cls(*pairs)

    def as_json(self) -> dict[str, list[float]]:
        """The levels as JSON can hold them."""
        return {name: list(pair) for name, pair in self._asdict().items()}

    def joined(self, other: "Levels | None") -> "Levels":
        """The levels that hold both ranges."""
        pairs = zip(self, other or self, strict=True)
        return Levels(*((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs))

    def to_bytes(self, values: np.ndarray, floats: bool) -> np.ndarray:
        """Values as uint8 in the order of their brightness.

        Args:
            values: float32, any shape.
            floats: whether they come from an image of floats.
        """
        black, white = self.floats if floats else self.integers
        scaled = (values.astype(np.float64) - black) * (255.0 / (white - black))
        return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def brightness_levels(ranges: Iterable[tuple[bool, float, float]]) -> Levels:
    """Black and white of images from their ranges.

    Black is 0, or the smallest value where it is negative. White is the largest value of the
    fewest bits that hold the largest value; of floats of at most 1 it is 1.

    Args:
        ranges: of each image whether it holds floats, its smallest and its largest value.
    """
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for floats, low, high in ranges:
        found[floats].append((low, high))
    usual = Levels()
    return Levels(_levels(found[False], usual.integers[1]), _levels(found[True], usual.floats[1]))


def _levels(ranges: list[tuple[float, float]], least_white: float) -> tuple[float, float]:
    black = min([0.0, *(low for low, _ in ranges)])
    brightest = max([least_white, *(high for _, high in ranges)])
    if brightest == least_white:
        return black, brightest
    whites = (float(2**bits - 1) for bits in _DEPTHS)
    return black, next((white for white in whites if white >= brightest), brightest)
