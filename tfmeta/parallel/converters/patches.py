"""What a window sees of an image, and what windows a pixel lies in, as rows to be multiplied.

Both are gathers of whole pixels by computed row numbers, on CPU faster than
`tf.image.extract_patches` and than adding patches back into an image; where pixels have few
channels, a native convolution with a kernel of zeros and ones copies faster still.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Up to so many channels a pixel is too short to be copied by itself.
FEW_CHANNELS = 4


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Where a window stands on an image; all sizes are (height, width) and static."""

    image_size: tuple[int, int]
    channels: int
    window: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: str

    @property
    def taps(self) -> int:
        """Positions within a window."""
        return self.window[0] * self.window[1]

    @property
    def positions(self) -> int:
        """Positions of the window."""
        return self.output_size[0] * self.output_size[1]

    @functools.cached_property
    def reach(self) -> tuple[int, int]:
        """Size of the window with its holes."""
        return _pair((w - 1) * d + 1 for w, d in zip(self.window, self.dilations, strict=True))

    @functools.cached_property
    def output_size(self) -> tuple[int, int]:
        """Positions of the window."""
        if self.padding == "SAME":
            return _pair(-(-i // s) for i, s in zip(self.image_size, self.strides, strict=True))
        return _pair(
            (i - r) // s + 1
            for i, r, s in zip(self.image_size, self.reach, self.strides, strict=True)
        )

    @functools.cached_property
    def pad_before(self) -> tuple[int, int]:
        """Rows and columns of zeros before the image (the rest of "SAME" comes after it)."""
        if self.padding == "VALID":
            return (0, 0)
        return _pair(
            max((o - 1) * s + r - i, 0) // 2
            for i, o, s, r in zip(
                self.image_size, self.output_size, self.strides, self.reach, strict=True
            )
        )


def _pair(sizes: Iterable[int]) -> tuple[int, int]:
    rows, columns = sizes
    return rows, columns


def windows(images, geometry):
    """What each window sees: [N, positions, taps * C] of images [N, height, width, C]."""
    if geometry.taps == 1 and geometry.strides == (1, 1):
        return tf.reshape(images, [-1, geometry.positions, geometry.channels])
    if geometry.channels <= FEW_CHANNELS and geometry.dilations == (1, 1):
        return _windows_by_convolution(images, geometry)
    axes = (geometry.output_size, geometry.strides, geometry.window, geometry.dilations)
    seen = [
        np.add.outer(np.arange(positions) * stride, np.arange(taps) * dilation)
        for positions, stride, taps, dilation in zip(*axes, strict=True)
    ]
    return _gather_pixels(images, geometry.pad_before, seen)


def _windows_by_convolution(images, geometry):
    columns = geometry.taps * geometry.channels
    copies = np.eye(columns).reshape([*geometry.window, geometry.channels, columns])
    seen = tf.nn.conv2d(
        images, tf.constant(copies, images.dtype), geometry.strides, geometry.padding
    )
    return tf.reshape(seen, [-1, geometry.positions, columns])


class Phase(NamedTuple):
    """Pixels that lie in the same taps of windows: every stride-th one of an image.

    Attributes:
        size: (rows, columns) of such pixels.
        taps: list of the taps, numbered as in a kernel [height * width].
        positions: per axis, [pixels, taps]: where the window stands whose tap the pixel is; may
            lie outside the output.
    """

    size: tuple[int, int]
    taps: list
    positions: tuple


def phases(geometry) -> list[Phase]:
    """The phases of an image, row of phases by row."""
    found = []
    for vertical, horizontal in itertools.product(*_phases_of_axes(geometry)):
        found.append(
            Phase(
                size=(len(vertical.positions), len(horizontal.positions)),
                taps=[y * geometry.window[1] + x for y in vertical.taps for x in horizontal.taps],
                positions=(vertical.positions, horizontal.positions),
            )
        )
    return found


class _AxisPhase(NamedTuple):
    taps: list
    positions: np.ndarray


def _phases_of_axes(geometry):
    return [
        [_axis_phase(first, *axis) for first in range(min(axis[1], axis[0]))]
        for axis in zip(
            geometry.image_size,
            geometry.strides,
            geometry.pad_before,
            geometry.window,
            geometry.dilations,
            strict=True,
        )
    ]


def _axis_phase(first, size, stride, pad, window, dilation):
    pixels = np.arange(first, size, stride) + pad
    taps = [tap for tap in range(window) if (pixels[0] - tap * dilation) % stride == 0]
    return _AxisPhase(taps, np.subtract.outer(pixels, np.array(taps, int) * dilation) // stride)


def gradients_at(grads, phase, geometry):
    """The output gradients that meet a phase's pixels.

    Args:
        grads: [N, *output_size, F], of what windows gave.
        phase: one of `phases(geometry)`, with taps.
        geometry: of the windows.

    Returns:
        [N, pixels, taps * F], 0 where no window stands.
    """
    before = [max(0, -int(positions.min())) for positions in phase.positions]
    shifted = [p + b for p, b in zip(phase.positions, before, strict=True)]
    return _gather_pixels(grads, before, shifted)


def interleave(parts, of_phases, geometry):
    """Puts the pixels of `phases(geometry)`, [N, pixels, C] each, in place: [N, h * w, C]."""
    if len(parts) == 1:
        return parts[0]
    stride_y, stride_x = (
        min(stride, size)
        for stride, size in zip(geometry.strides, geometry.image_size, strict=True)
    )
    order, first = np.zeros(geometry.image_size, np.int32), 0
    for number, phase in enumerate(of_phases):
        y, x = number // stride_x, number % stride_x
        height, width = phase.size
        order[y::stride_y, x::stride_x] = first + np.arange(height * width).reshape(height, width)
        first += height * width
    return tf.gather(tf.concat(parts, axis=1), order.reshape(-1), axis=1)


def _gather_pixels(images, before, positions):
    """Pixels of zero-padded images [N, height, width, C].

    Args:
        images: the images.
        before: zeros before them, per axis.
        positions: per axis, [outputs, taps]: coordinates in the padded images.

    Returns:
        [N, outputs of both axes, taps of both axes * C].
    """
    size = [
        max(int(p.max()) + 1, b + i)
        for p, b, i in zip(positions, before, images.shape[1:3], strict=True)
    ]
    pads = [(b, s - b - i) for s, b, i in zip(size, before, images.shape[1:3], strict=True)]
    if any(map(any, pads)):
        images = tf.pad(images, [(0, 0), *pads, (0, 0)])
    channels = images.shape[3]
    # Added up in the graph: the row numbers of a large image would be its largest constants.
    down, across = (tf.constant(p, tf.int32) for p in positions)
    rows = down[:, tf.newaxis, :, tf.newaxis] * size[1] + across[tf.newaxis, :, tf.newaxis]
    found = tf.gather(
        tf.reshape(images, [-1, size[0] * size[1], channels]), tf.reshape(rows, [-1]), axis=1
    )
    outputs, taps = (p0 * p1 for p0, p1 in zip(*(p.shape for p in positions), strict=True))
    return tf.reshape(found, [-1, outputs, taps * channels])
