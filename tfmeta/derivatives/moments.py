"""Mean and variance with a gradient of few passes over the data, exact to any order.

With m and v the moments of R numbers x, the gradient is

    dx = a x + b,    a = 2 dv / R,    b = dm / R - a m

where TensorFlow's own chain writes eight tensors of x's size, one of which sums to 0. Since m is
taken from x again where it stands in b, differentiating this expression gives the second
derivative, and so on.
"""

import math

import tensorflow as tf

from tfmeta.derivatives.recorded import recorded


def exact_moments(inputs, axes):
    """Mean and variance of `inputs` over static `axes`, which stay with size 1.

    The forward pass is that of `tf.nn.moments`, bit for bit.

    Args:
        inputs: floating-point tensor.
        axes: list of axes, not negative.

    Returns:
        The mean and the variance (not Bessel's), in the shape of `inputs` with 1 for each axis.
    """

    def gradient(mean_gradient, variance_gradient):
        size = count(inputs, axes)
        slope = variance_gradient * (2 / size)
        offset = mean_gradient / size - slope * tf.reduce_mean(inputs, axes, keepdims=True)
        return [inputs * slope + offset]

    mean, variance = recorded("Moments", lambda: two_pass_moments(inputs, axes), gradient, [inputs])
    return mean, variance


def two_pass_moments(inputs, axes):
    """The same without a gradient of its own."""
    mean = tf.reduce_mean(inputs, axes, keepdims=True)
    squares = tf.math.squared_difference(inputs, mean)
    return [mean, tf.reduce_mean(squares, axes, keepdims=True)]


def count(inputs, axes):
    """How many numbers of `inputs` each mean over `axes` is of, in their type."""
    sizes = [inputs.shape[axis] for axis in axes]
    if None not in sizes:
        return tf.constant(math.prod(sizes), inputs.dtype)
    return tf.cast(tf.reduce_prod(tf.gather(tf.shape(inputs), axes)), inputs.dtype)
