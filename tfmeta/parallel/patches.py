"""Patches of images, and the transposed map that adds patches back into images."""

import dataclasses
import functools
import operator

import tensorflow as tf


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

    @functools.cached_property
    def reach(self) -> tuple[int, int]:
        """Size of the window with its holes."""
        return tuple((w - 1) * d + 1 for w, d in zip(self.window, self.dilations, strict=True))

    @functools.cached_property
    def output_size(self) -> tuple[int, int]:
        """Positions of the window."""
        if self.padding == "SAME":
            return tuple(-(-i // s) for i, s in zip(self.image_size, self.strides, strict=True))
        return tuple(
            (i - r) // s + 1
            for i, r, s in zip(self.image_size, self.reach, self.strides, strict=True)
        )

    @functools.cached_property
    def pad_before(self) -> tuple[int, int]:
        """Rows and columns of zeros before the image (the rest of "SAME" comes after it)."""
        if self.padding == "VALID":
            return (0, 0)
        return tuple(
            max((o - 1) * s + r - i, 0) // 2
            for i, o, s, r in zip(
                self.image_size, self.output_size, self.strides, self.reach, strict=True
            )
        )


def extract(images, geometry):
    """Patches [N, out_height, out_width, taps * channels] of images [N, height, width, C]."""
    if geometry.taps == 1 and geometry.strides == (1, 1):
        return images
    return tf.image.extract_patches(
        images,
        sizes=[1, *geometry.window, 1],
        strides=[1, *geometry.strides, 1],
        rates=[1, *geometry.dilations, 1],
        padding=geometry.padding,
    )


def spread(patches, geometry):
    """Adds patches into images: the transpose of `extract`.

    Each tap's patches lie on a grid of the stride, so taps of one phase (offset modulo stride)
    add up on a coarse grid; the phases then interleave to the image.

    Args:
        patches: [N, out_height, out_width, taps * channels].
        geometry: of `extract`.

    Returns:
        images [N, height, width, channels].
    """
    if geometry.taps == 1 and geometry.strides == (1, 1):
        return patches
    (stride_y, stride_x), (out_y, out_x) = geometry.strides, geometry.output_size
    patches = tf.reshape(patches, [-1, out_y, out_x, geometry.taps, geometry.channels])
    cells = [
        out + (reach - 1) // stride
        for out, reach, stride in zip(
            geometry.output_size, geometry.reach, geometry.strides, strict=True
        )
    ]
    phases = [
        _phase_sum(patches, geometry, phase_y, phase_x, cells)
        for phase_y in range(stride_y)
        for phase_x in range(stride_x)
    ]
    size = [cells[0] * stride_y, cells[1] * stride_x]
    if len(phases) == 1:
        grid = phases[0]
    else:
        grid = tf.stack(phases, axis=3)
        grid = tf.reshape(grid, [-1, *cells, stride_y, stride_x, geometry.channels])
        grid = tf.transpose(grid, [0, 1, 3, 2, 4, 5])
        grid = tf.reshape(grid, [-1, *size, geometry.channels])
    return _crop(grid, size, geometry)


def _phase_sum(patches, geometry, phase_y, phase_x, cells):
    terms = []
    for tap in range(geometry.taps):
        y = tap // geometry.window[1] * geometry.dilations[0]
        x = tap % geometry.window[1] * geometry.dilations[1]
        if y % geometry.strides[0] != phase_y or x % geometry.strides[1] != phase_x:
            continue
        top, left = y // geometry.strides[0], x // geometry.strides[1]
        bottom = cells[0] - geometry.output_size[0] - top
        right = cells[1] - geometry.output_size[1] - left
        terms.append(tf.pad(patches[:, :, :, tap], [(0, 0), (top, bottom), (left, right), (0, 0)]))
    if not terms:
        return tf.zeros([tf.shape(patches)[0], *cells, geometry.channels], patches.dtype)
    return functools.reduce(operator.add, terms)


def _crop(grid, size, geometry):
    top, left = geometry.pad_before
    height, width = geometry.image_size
    below, beside = max(top + height - size[0], 0), max(left + width - size[1], 0)
    if below or beside:
        grid = tf.pad(grid, [(0, 0), (0, below), (0, beside), (0, 0)])
    return grid[:, top : top + height, left : left + width]
