"""Two ways to compute the four functions that batch normalisation and its derivatives are made of.

All take values over every axis but the last, the channels.

    moments(x)                      mean m and variance v (not Bessel's) of a channel
    normalised(x, ...; c, b)        c h + b, with h = (x - m) / sqrt(v + epsilon)
    gradient(z, x, ...; c)          c (z - mean(z) - h mean(z h)) / sqrt(v + epsilon)
    sums(z, x, ...)                 sum(z h)
"""

import math

import tensorflow as tf

from tfmeta.inner.moments import two_pass_moments

# Numbers of a tensor from which on fused operations are faster, on one core of a server CPU.
_LARGE = 1 << 17


class ComposedKernels:
    """Of TensorFlow's elementary operations: every floating-point type, device and compiler."""

    @staticmethod
    def moments(x):
        """Mean and variance, [C] each."""
        mean, variance = two_pass_moments(x, _examples(x))
        return tf.reshape(mean, [-1]), tf.reshape(variance, [-1])

    @staticmethod
    def normalised(x, mean, variance, epsilon, scale, offset):
        """`c h + b` in the shape of `x`."""
        # In the order of tf.nn.batch_normalization, so to its bits.
        factor = tf.math.rsqrt(variance + epsilon)
        factor = factor if scale is None else factor * scale
        shift = -mean * factor if offset is None else offset - mean * factor
        return x * factor + shift

    @staticmethod
    def gradient(z, x, mean, variance, epsilon, scale):
        """The gradient with respect to `x`, and the sums of `z h`, [C]."""
        sums = ComposedKernels.sums(z, x, mean, variance, epsilon)
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = inverse if scale is None else inverse * scale
        slope = factor * inverse * sums / count(x)
        offset = factor * tf.reduce_sum(z, _examples(z)) / count(x) - slope * mean
        return z * factor - (x * slope + offset), sums

    @staticmethod
    def sums(z, x, mean, variance, epsilon):
        """`sum(z h)`, [C]."""
        # A pass less than the sum of z (x - m), and the sum of z is needed besides.
        centred = tf.reduce_sum(z * x, _examples(x)) - mean * tf.reduce_sum(z, _examples(z))
        return centred * tf.math.rsqrt(variance + epsilon)


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

    @staticmethod
    def moments(x):
        """Mean and variance, [C] each."""
        blocks = _blocks(x)
        found = tf.raw_ops.FusedBatchNormV3(
            x=blocks,
            scale=tf.ones([blocks.shape[-1]]),
            offset=tf.zeros([blocks.shape[-1]]),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            is_training=True,
        )
        means, variances = (tf.reshape(t, [-1, x.shape[-1]]) for t in found[1:3])
        block = count(blocks)
        variances *= tf.maximum(block - 1, 1) / block  # what comes out is Bessel's
        mean = tf.reduce_mean(means, 0)
        between = tf.reduce_mean(tf.math.squared_difference(means, mean), 0)
        return mean, tf.reduce_mean(variances, 0) + between

    @staticmethod
    def normalised(x, mean, variance, epsilon, scale, offset):
        """`c h + b` in the shape of `x`."""
        found = tf.raw_ops.FusedBatchNormV3(
            x=_image(x),
            scale=tf.ones_like(mean) if scale is None else scale,
            offset=tf.zeros_like(mean) if offset is None else offset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )
        return _shaped_as(x, found[0])

    @staticmethod
    def gradient(z, x, mean, variance, epsilon, scale):
        """The gradient with respect to `x`, and the sums of `z h`, [C], to few digits."""
        found = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=_image(z),
            x=_image(x),
            scale=tf.ones_like(mean) if scale is None else scale,
            reserve_space_1=mean,
            reserve_space_2=variance,
            reserve_space_3=tf.zeros([0]),
            epsilon=epsilon,
            is_training=True,
        )
        return _shaped_as(x, found[0]), found[1]

    @staticmethod
    def sums(z, x, mean, variance, epsilon):
        """`sum(z h)`, [C]."""
        blocks = _blocks(x)
        times = blocks.shape[-1] // x.shape[-1]
        found = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=_blocks(z),
            x=blocks,
            scale=tf.ones([blocks.shape[-1]]),
            reserve_space_1=tf.tile(mean, [times]),
            reserve_space_2=tf.tile(variance, [times]),
            reserve_space_3=tf.zeros([0]),
            epsilon=epsilon,
            is_training=False,
        )
        return tf.reduce_sum(tf.reshape(found[1], [-1, x.shape[-1]]), 0)


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
    sizes = x.shape.as_list()[:-1]
    if None not in sizes:
        return tf.constant(math.prod(sizes), x.dtype)
    return tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)


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
