"""Converters for fused batch normalisation of tasks that are normalised each by itself.

TensorFlow's own move the task axis next to the channels and back, a transposition of all data for
each. Here tasks stay where they are, and the operations are elementary.
"""

import tensorflow as tf

from tfmeta.parallel.converters.registry import task_converter

_EXAMPLES = [1, 2, 3]


@task_converter("FusedBatchNormV3")
def _normalise(pfor_input):
    if pfor_input.get_attr("data_format") != b"NHWC":
        return None
    x = _tasks(pfor_input, 0)
    if pfor_input.get_attr("is_training"):
        if not pfor_input.input(0)[1]:
            return None
        return _of_batches(pfor_input, x)
    scale, offset, mean, variance = (_channels(pfor_input, index) for index in (1, 2, 3, 4))
    factor = tf.math.rsqrt(variance + pfor_input.get_attr("epsilon")) * scale
    outputs = x * factor + (offset - mean * factor)
    tasks = tf.shape(outputs)[0]
    given = [_each(t, tasks) for t in (mean, variance)]
    return [outputs, *given, *given, tf.zeros([tasks, 0])]


def _of_batches(pfor_input, x):
    mean = tf.reduce_mean(x, _EXAMPLES, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), _EXAMPLES, keepdims=True)
    factor = tf.math.rsqrt(variance + pfor_input.get_attr("epsilon")) * _channels(pfor_input, 1)
    outputs = x * factor + (_channels(pfor_input, 2) - mean * factor)
    mean, variance = (tf.squeeze(t, _EXAMPLES) for t in (mean, variance))
    size = _count(x)
    bessel = variance * (size / tf.maximum(size - 1, 1))
    return [outputs, mean, bessel, mean, variance, tf.zeros([tf.shape(x)[0], 0])]


@task_converter("FusedBatchNormGradV3")
def _gradient(pfor_input):
    if pfor_input.get_attr("data_format") != b"NHWC":
        return None
    z, x = _tasks(pfor_input, 0), _tasks(pfor_input, 1)
    scale, mean, variance = (_channels(pfor_input, index) for index in (2, 3, 4))
    inverse = tf.math.rsqrt(variance + pfor_input.get_attr("epsilon"))
    total = tf.reduce_sum(z, _EXAMPLES, keepdims=True)
    sums = (tf.reduce_sum(z * x, _EXAMPLES, keepdims=True) - mean * total) * inverse
    factor = inverse * scale
    gradient = z * factor
    if pfor_input.get_attr("is_training"):
        slope = factor * inverse * sums / _count(x)
        gradient -= x * slope + (factor * total / _count(x) - slope * mean)
    tasks = tf.shape(gradient)[0]
    nothing = tf.zeros([tasks, 0])
    return [gradient, _each(sums, tasks), _each(total, tasks), nothing, nothing]


def _tasks(pfor_input, index):
    """An operand [T, N, height, width, C]; [1, ...] where tasks share it."""
    tensor, stacked, _ = pfor_input.input(index)
    return tensor if stacked else tensor[tf.newaxis]


def _channels(pfor_input, index):
    """An operand of channels, [T, 1, 1, 1, C], or [1, ...] where tasks share it."""
    tensor = _tasks(pfor_input, index)
    return tf.reshape(tensor, [-1, 1, 1, 1, tensor.shape[-1]])


def _each(tensor, tasks):
    """[T, C] of [T, 1, 1, 1, C], or of [1, ...] where tasks share it."""
    return tf.broadcast_to(tf.squeeze(tensor, _EXAMPLES), [tasks, tensor.shape[-1]])


def _count(x):
    sizes = x.shape.as_list()[1:4]
    if None in sizes:
        return tf.cast(tf.reduce_prod(tf.shape(x)[1:4]), x.dtype)
    return tf.constant(sizes[0] * sizes[1] * sizes[2], x.dtype)
