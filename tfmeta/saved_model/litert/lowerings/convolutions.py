"""Gradients of convolutions by their filters and, depthwise, by their inputs."""

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.registry import lowering
from tfmeta.saved_model.litert.lowerings.windows import Windows


@lowering("Conv2DBackpropFilter")
def _filter_gradient(operation, images, _, upstream):
    """A convolution: channels are the examples, examples the channels, the gradient the filter."""
    height, width, channels, _ = operation.outputs[0].shape
    if _channels_first(operation) or channels != images.shape[-1]:
        return None
    windows = Windows.of(operation, (height, width), images.shape, upstream.shape)
    found = tf.nn.conv2d(
        tf.transpose(windows.padded(images), [3, 1, 2, 0]),
        tf.transpose(upstream, [1, 2, 0, 3]),
        strides=windows.dilations,
        padding="VALID",
        dilations=windows.strides,
    )
    return [tf.transpose(found, [1, 2, 0, 3])]


@lowering("DepthwiseConv2dNativeBackpropFilter")
def _depthwise_filter_gradient(operation, images, _, upstream):
    height, width, channels, multiplier = operation.outputs[0].shape
    if _channels_first(operation):
        return None
    windows = Windows.of(operation, (height, width), images.shape, upstream.shape)
    padded, found = windows.padded(images), []
    for position in windows.positions():
        seen = windows.seen(padded, position)
        found.append(tf.reduce_sum(_repeated(seen, multiplier) * upstream, axis=[0, 1, 2]))
    return [tf.reshape(tf.stack(found), [height, width, channels, multiplier])]


@lowering("DepthwiseConv2dNativeBackpropInput")
def _depthwise_input_gradient(operation, _, filters, upstream):
    height, width, channels, multiplier = filters.shape
    images = operation.outputs[0].shape
    if _channels_first(operation):
        return None
    windows = Windows.of(operation, (height, width), images, upstream.shape)
    flat = tf.reshape(filters, [height, width, channels * multiplier])
    parts = {}
    for row, column in windows.positions():
        part = upstream * flat[row, column]
        if multiplier > 1:
            shape = [part.shape[0], -1, channels, multiplier]
            part = tf.reduce_sum(tf.reshape(part, shape), axis=-1)
            part = tf.reshape(part, [*upstream.shape[:3], channels])
        parts[row, column] = part
    return [windows.scattered(parts)]


def _repeated(images, times):
    """Each channel several times in a row."""
    if times == 1:
        return images
    count, height, width, channels = images.shape
    flat = tf.reshape(images, [count, height * width, channels, 1])
    return tf.reshape(tf.tile(flat, [1, 1, 1, times]), [count, height, width, channels * times])


def _channels_first(operation):
    return operation.get_attr("data_format") != b"NHWC"
