"""Two ways to compute the four functions that batch normalisation and its derivatives are made of.

All take values over every axis but the last, the channels.

    moments(x)          mean m and variance v (not Bessel's) of a channel
    normalised(c, b)    c h + b, with h = (x - m) / sqrt(v + epsilon)
    gradient(c)         of z: c (z - mean(z) - h mean(z h)) / sqrt(v + epsilon)
    sums()              of z: sum(z h)
"""

import tensorflow as tf

from tfmeta.derivatives import fused_batch_norm as fused
from tfmeta.derivatives import moments

# Numbers of a tensor from which on fused operations are faster, on one core of a server CPU.
_LARGE = 1 << 17


class ComposedKernels:
    """Of TensorFlow's elementary operations: every floating-point type, device and compiler.

    What depends on a channel alone is computed here, once: the rest depends on the first argument
    of each method or on nothing but its own operands. A vectorised map inside a tape leaves what
    does not differ between tasks where it is, and would leave it unrecorded otherwise.
    """

    def __init__(self, x, mean, variance, epsilon):
        self._x, self._mean = x, mean
        self._inverse = tf.math.rsqrt(variance + epsilon)
        self._count = count(x)

    @staticmethod
    def moments(x):
        """Mean and variance, [C] each."""
        mean, variance = moments.two_pass_moments(x, _examples(x))
        return tf.reshape(mean, [-1]), tf.reshape(variance, [-1])

    def normalised(self, scale, offset):
        """A function without arguments that returns `c h + b` in the shape of x."""
        # In the order of tf.nn.batch_normalization, so to its bits.
        factor = self._inverse if scale is None else self._inverse * scale
        shift = -self._mean * factor if offset is None else offset - self._mean * factor
        return lambda: self._x * factor + shift

    def gradient(self, scale):
        """A function of z to the gradient with respect to x, and the sums of `z h`, [C]."""
        sums = self.sums()
        factor = self._inverse if scale is None else self._inverse * scale
        slope_of = factor * self._inverse / self._count
        offset_of = factor / self._count

        def function(z):
            found = sums(z)
            slope = found * slope_of
            offset = tf.reduce_sum(z, _examples(z)) * offset_of - slope * self._mean
            return z * factor - (self._x * slope + offset), found

        return function

    def sums(self):
        """A function of z to `sum(z h)`, [C]."""

        def function(z):
            # A pass less than the sum of z (x - m), and the sum of z is needed besides.
            of_z = tf.reduce_sum(z, _examples(z))
            return (tf.reduce_sum(z * self._x, _examples(z)) - of_z * self._mean) * self._inverse

        return function


class FusedKernels:
    """Of TensorFlow's fused batch normalisation, float32 on CPU.

    A fused operation passes over the data once or twice where elementary ones pass four to eight
    times, which tells where the data are large. oneDNN adds a channel's R numbers up one after
    another, which costs digits where R is large: sums that are a result are therefore taken of
    blocks, each position along the last axis but one by itself, and put together afterwards.
    """

    @staticmethod
    def serve(x) -> bool:
        """Whether these can compute for `x`."""
        return (
            x.dtype == tf.float32
            and x.shape.rank > 2
            and (x.shape.num_elements() or 0) >= _LARGE
            # Between the two operations on a GPU stands the inverse deviation, not the variance.
            and not tf.config.list_logical_devices("GPU")
        )

    def __init__(self, x, mean, variance, epsilon):
        self._x, self._image = x, _image(x)
        self._mean, self._variance = mean, variance
        self._epsilon = epsilon

    @staticmethod
    def moments(x):
        """Mean and variance, [C] each."""
        blocks = _blocks(x)
        width = blocks.shape[-1]
        found = fused.normalisation(blocks, tf.ones([width]), tf.zeros([width]))
        means, variances = (tf.reshape(t, [-1, x.shape[-1]]) for t in found[1:3])
        block = count(blocks)
        variances *= tf.maximum(block - 1, 1) / block  # what comes out is Bessel's
        mean = tf.reduce_mean(means, 0)
        between = tf.reduce_mean(tf.math.squared_difference(means, mean), 0)
        return mean, tf.reduce_mean(variances, 0) + between

    def normalised(self, scale, offset):
        """A function without arguments that returns `c h + b` in the shape of x."""
        scale = tf.ones_like(self._mean) if scale is None else scale
        offset = tf.zeros_like(self._mean) if offset is None else offset
        given = (self._mean, self._variance, self._epsilon)
        return lambda: _shaped_as(
            self._x, fused.normalisation(self._image, scale, offset, *given)[0]
        )

    def gradient(self, scale):
        """A function of z to the gradient with respect to x, and to few digits `sum(z h)`, [C]."""
        scale = tf.ones_like(self._mean) if scale is None else scale
        given = (self._mean, self._variance, self._epsilon)

        def function(z):
            found = fused.gradient(_image(z), self._image, scale, *given, of_moments=True)
            return _shaped_as(self._x, found[0]), found[1]

        return function

    def sums(self):
        """A function of z to `sum(z h)`, [C]."""
        blocks = _blocks(self._x)
        times = blocks.shape[-1] // self._x.shape[-1]
        given = (*(tf.tile(t, [times]) for t in (self._mean, self._variance)), self._epsilon)
        ones = tf.ones([blocks.shape[-1]])

        def function(z):
            found = fused.gradient(_blocks(z), blocks, ones, *given, of_moments=False)
            return tf.reduce_sum(tf.reshape(found[1], [-1, self._x.shape[-1]]), 0)

        return function


def totals(z):
    """Sums of `z` [..., C] over all axes but the last.

    A product with ones is the faster sum on CPU, and of blocks the more accurate one. It has a
    batch axis, since a vectorised map transposes the second operand of one that has none.
    """
    if not FusedKernels.serve(z):
        return tf.reduce_sum(z, _examples(z))
    rows = tf.reshape(z, [1, -1, z.shape[-2] * z.shape[-1]])
    sums = tf.matmul(tf.ones([1, 1, rows.shape[1]]), rows)
    return tf.reduce_sum(tf.reshape(sums, [-1, z.shape[-1]]), 0)


def count(x):
    """How many numbers a channel has."""
    return moments.count(x, _examples(x))


def _examples(x):
    return list(range(x.shape.rank - 1))


def _image(x):
    """[N, height, width, C]; one example of many pixels, where it is none: oneDNN's faster way."""
    return x if x.shape.rank == 4 else tf.reshape(x, [1, 1, -1, x.shape[-1]])


def _blocks(x):
    """[1, R / B, 1, B * C], with B the size of the last axis but one."""
    return tf.reshape(x, [1, -1, 1, x.shape[-2] * x.shape[-1]])


def _shaped_as(x, image):
    return image if x.shape.rank == 4 else tf.reshape(image, tf.shape(x))
