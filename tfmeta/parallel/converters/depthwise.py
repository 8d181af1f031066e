"""Converters for depthwise convolutions.

Each channel is convolved by itself, so tasks with kernels of their own are further channels of
one native operation; tasks that share a kernel are further examples.
"""

import tensorflow as tf

from tfmeta.parallel.converters.registry import task_converter


@task_converter("DepthwiseConv2dNative")
def _convolve(pfor_input):
    (images, images_stacked, _), (kernels, kernels_stacked, _) = _inputs(pfor_input, 0, 1)
    attrs = _attrs(pfor_input)
    if attrs is None:
        return None
    if not kernels_stacked:
        outputs = tf.raw_ops.DepthwiseConv2dNative(input=_merge(images), filter=kernels, **attrs)
        return _split(outputs, images)
    tasks = tf.shape(kernels)[0]
    outputs = tf.raw_ops.DepthwiseConv2dNative(
        input=_to_channels(images, images_stacked, tasks),
        filter=_kernel_to_channels(kernels),
        **attrs,
    )
    return _from_channels(outputs, pfor_input.op.outputs[0].shape[3], tasks)


@task_converter("DepthwiseConv2dNativeBackpropInput")
def _image_gradient(pfor_input):
    (kernels, kernels_stacked, _), (grads, grads_stacked, _) = _inputs(pfor_input, 1, 2)
    attrs, shape = _attrs(pfor_input), pfor_input.op.outputs[0].shape
    if attrs is None or shape.rank is None or None in shape[1:].as_list():
        return None
    height, width, channels = shape[1:].as_list()
    if not kernels_stacked:
        flat = _merge(grads)
        images = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=[tf.shape(flat)[0], height, width, channels],
            filter=kernels,
            out_backprop=flat,
            **attrs,
        )
        return _split(images, grads)
    tasks = tf.shape(kernels)[0]
    flat = _to_channels(grads, grads_stacked, tasks)
    images = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=[tf.shape(flat)[0], height, width, tasks * channels],
        filter=_kernel_to_channels(kernels),
        out_backprop=flat,
        **attrs,
    )
    return _from_channels(images, channels, tasks)


@task_converter("DepthwiseConv2dNativeBackpropFilter")
def _kernel_gradient(pfor_input):
    (images, images_stacked, _), (grads, grads_stacked, _) = _inputs(pfor_input, 0, 2)
    attrs, shape = _attrs(pfor_input), pfor_input.op.outputs[0].shape
    if attrs is None or not shape.is_fully_defined():
        return None
    height, width, channels, multiplier = shape.as_list()
    tasks = tf.shape(images if images_stacked else grads)[0]
    kernels = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=_to_channels(images, images_stacked, tasks),
        filter_sizes=[height, width, tasks * channels, multiplier],
        out_backprop=_to_channels(grads, grads_stacked, tasks),
        **attrs,
    )
    kernels = tf.reshape(kernels, [height, width, -1, channels, multiplier])
    return tf.transpose(kernels, [2, 0, 1, 3, 4])


def _inputs(pfor_input, *indices):
    return [pfor_input.input(index) for index in indices]


def _attrs(pfor_input):
    """Attributes of the native operation; None where tasks can't be its channels or examples."""
    names = ("strides", "padding", "dilations")
    strides, padding, dilations = (pfor_input.get_attr(name) for name in names)
    if pfor_input.get_attr("data_format") != b"NHWC" or padding == b"EXPLICIT":
        return None
    return {"strides": list(strides), "padding": padding.decode(), "dilations": list(dilations)}


def _merge(tensor):
    """[T, N, ...] to [T * N, ...]."""
    return tf.reshape(tensor, [-1, *tensor.shape[2:]])


def _split(tensor, like):
    """[T * N, ...] to [T, N, ...], with T and N those of `like`."""
    shape = tf.concat([tf.shape(like)[:2], tf.shape(tensor)[1:]], axis=0)
    return tf.reshape(tensor, shape)


def _to_channels(tensor, stacked, tasks):
    """[[T,] N, h, w, C] to [N, h, w, T * C]."""
    if not stacked:
        return tf.tile(tensor, [1, 1, 1, tasks])
    tensor = tf.transpose(tensor, [1, 2, 3, 0, 4])
    shape = tf.shape(tensor)
    return tf.reshape(tensor, [shape[0], shape[1], shape[2], -1])


def _from_channels(tensor, channels, tasks):
    """[N, h, w, T * C] to [T, N, h, w, C]."""
    shape = tf.shape(tensor)
    tensor = tf.reshape(tensor, [shape[0], shape[1], shape[2], tasks, channels])
    return tf.transpose(tensor, [3, 0, 1, 2, 4])


def _kernel_to_channels(kernels):
    """[T, kh, kw, C, multiplier] to [kh, kw, T * C, multiplier]."""
    height, width, _, multiplier = kernels.shape[1:].as_list()
    kernels = tf.transpose(kernels, [1, 2, 0, 3, 4])
    return tf.reshape(kernels, [height, width, -1, multiplier])
