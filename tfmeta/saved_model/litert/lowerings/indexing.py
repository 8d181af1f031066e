"""Gradients of slices, of padding by reflection, and of resizing."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.linear import of_axis
from tfmeta.saved_model.litert.lowerings.registry import lowering


@lowering("StridedSliceGrad")
def _strided_slice(operation, shape, begin, end, strides, upstream):
    """A gather from the gradient and a zero: for each entry of the input, where it went."""
    known = [tf.get_static_value(tensor) for tensor in (shape, begin, end, strides)]
    if any(value is None for value in known):
        return None
    shape, begin, end, strides = known
    size = int(np.prod(shape))
    masks = {
        name: operation.get_attr(f"{name}_mask")
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    index = np.arange(size).reshape(shape)[_slices(begin, end, strides, masks)].reshape(-1)
    place = np.full(size, index.size)
    place[index] = np.arange(index.size)
    entries = tf.concat([tf.reshape(upstream, [-1]), tf.zeros([1], upstream.dtype)], axis=0)
    return [tf.reshape(tf.gather(entries, tf.constant(place, tf.int32)), shape)]


def _slices(begin, end, strides, masks):
    def has(name, position):
        return masks[name] >> position & 1

    slices: list[Any] = []
    for position in range(len(begin)):
        if has("ellipsis", position):
            slices.append(Ellipsis)
        elif has("new_axis", position):
            slices.append(np.newaxis)
        elif has("shrink_axis", position):
            slices.append(int(begin[position]))
        else:
            start = None if has("begin", position) else int(begin[position])
            stop = None if has("end", position) else int(end[position])
            slices.append(slice(start, stop, int(strides[position])))
    return tuple(slices)


@lowering("MirrorPadGrad")
def _mirror_pad(operation, upstream, paddings):
    paddings = tf.get_static_value(paddings)
    if paddings is None or upstream.shape.rank != 4 or paddings[[0, 3]].any():
        return None
    mode = operation.get_attr("mode").decode()
    for axis in (1, 2):

        def padded(rows, axis=axis):
            return tf.pad(rows, [[0, 0], paddings[axis], [0, 0], [0, 0]], mode)

        upstream = of_axis(upstream, axis, operation.outputs[0].shape[axis], padded)
    return [upstream]


@lowering("ResizeBilinearGrad", "ResizeNearestNeighborGrad")
def _resize(operation, upstream, _):
    resize = {
        "ResizeBilinearGrad": tf.raw_ops.ResizeBilinear,
        "ResizeNearestNeighborGrad": tf.raw_ops.ResizeNearestNeighbor,
    }[operation.type]
    options = {n: operation.get_attr(n) for n in ("align_corners", "half_pixel_centers")}
    for axis in (1, 2):
        size = upstream.shape[axis]

        def resized(rows, size=size):
            return resize(images=rows, size=[size, 1], **options)

        upstream = of_axis(upstream, axis, operation.outputs[0].shape[axis], resized)
    return [upstream]
