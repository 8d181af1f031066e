"""Gradients of pooling."""

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.arithmetic import minus, where
from tfmeta.saved_model.litert.lowerings.linear import of_axis
from tfmeta.saved_model.litert.lowerings.registry import lowering
from tfmeta.saved_model.litert.lowerings.windows import Windows


@lowering("MaxPoolGrad")
def _max_pool(operation, images, outputs, upstream):
    """The first maximum of each window gets the gradient, as in TensorFlow."""
    _, *size, channel = operation.get_attr("ksize")
    if operation.get_attr("data_format") != b"NHWC" or channel != 1:
        return None
    windows = Windows.of(operation, size, images.shape, outputs.shape)
    padded = windows.padded(images, images.dtype.min)
    left, parts = tf.ones_like(upstream), {}
    for position in windows.positions():
        hit = where(tf.equal(windows.seen(padded, position), outputs), upstream.dtype) * left
        left = minus(left, hit)
        parts[position] = hit * upstream
    return [windows.scattered(parts)]


@lowering("AvgPoolGrad")
def _average_pool(operation, _, upstream):
    _, *size, channel = operation.get_attr("ksize")
    _, *strides, _ = operation.get_attr("strides")
    if operation.get_attr("data_format") != b"NHWC" or channel != 1:
        return None
    shape, padding = operation.outputs[0].shape, operation.get_attr("padding").decode()
    for axis in (0, 1):

        def pooled(rows, axis=axis):
            return tf.nn.avg_pool2d(rows, [size[axis], 1], [strides[axis], 1], padding)

        upstream = of_axis(upstream, axis + 1, shape[axis + 1], pooled)
    return [upstream]
