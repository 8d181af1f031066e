"""TensorFlow's fused operations of batch normalisation, differentiable by all that they depend on.

Their registered gradients take given moments as constants, and leave out those that they found.
A tape does not ask them where tfmeta records a gradient of its own (`batch_normalization`); where
a whole traced function is differentiated, TensorFlow asks every operation in it, and these answer
with derivatives of what they compute, written in elementary operations. A vectorised map would
lose that, but for the converters of `tfmeta.parallel`, which are therefore imported here.
"""

import contextlib

import tensorflow as tf

import tfmeta.parallel  # noqa: F401
from tfmeta.derivatives.moments import count

_NORMALISATION, _GRADIENT = "TfmetaFusedBatchNorm", "TfmetaFusedBatchNormGradient"
_EXAMPLES = [0, 1, 2]


def normalisation(x, scale, offset, mean=None, variance=None, epsilon=1e-3):
    """`scale (x - mean) / sqrt(variance + epsilon) + offset`, and moments.

    Args:
        x: float32 [N, height, width, C].
        scale: [C].
        offset: [C].
        mean: [C], or None for those of `x`, with the variance.
        variance: [C] or None.
        epsilon: positive float.

    Returns:
        The outputs of TensorFlow's FusedBatchNormV3; the second and third are the moments, the
        variance Bessel's.
    """
    nothing = tf.zeros([0])
    with _differentiable("FusedBatchNormV3", _NORMALISATION):
        return tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=nothing if mean is None else mean,
            variance=nothing if variance is None else variance,
            epsilon=epsilon,
            is_training=mean is None,
        )


def gradient(z, x, scale, mean, variance, epsilon, *, of_moments):
    """The gradient of `normalisation` at `z`: by `x`, by the scale, by the offset.

    Args:
        z: as `x`.
        x: float32 [N, height, width, C].
        scale: [C].
        mean: [C], of `x` where `of_moments`.
        variance: [C], likewise, not Bessel's.
        epsilon: positive float.
        of_moments: whether the mean and variance are differentiated too.
    """
    with _differentiable("FusedBatchNormGradV3", _GRADIENT):
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=z,
            x=x,
            scale=scale,
            reserve_space_1=mean,
            reserve_space_2=variance,
            reserve_space_3=tf.zeros([0]),
            epsilon=epsilon,
            is_training=of_moments,
        )


def _differentiable(operation, name):
    if tf.executing_eagerly():
        return contextlib.nullcontext()
    return tf.compat.v1.get_default_graph().gradient_override_map({operation: name})


@tf.RegisterGradient(_NORMALISATION)
def _normalisation_derivatives(op, *upstream):
    def outputs(x, scale, offset, mean, variance):
        training = op.get_attr("is_training")
        if training:
            mean = tf.reduce_mean(x, _EXAMPLES)
            variance = tf.reduce_mean((x - mean) ** 2, _EXAMPLES)
        normal = (x - mean) * tf.math.rsqrt(variance + op.get_attr("epsilon"))
        size = count(x, _EXAMPLES)
        bessel = variance * (size / tf.maximum(size - 1, 1)) if training else variance
        return [normal * scale + offset, mean, bessel]

    return _derivatives(outputs, op.inputs, upstream)


@tf.RegisterGradient(_GRADIENT)
def _gradient_derivatives(op, *upstream):
    def outputs(z, x, scale, mean, variance, _):
        if op.get_attr("is_training"):
            mean = tf.reduce_mean(x, _EXAMPLES)
            variance = tf.reduce_mean((x - mean) ** 2, _EXAMPLES)
        inverse = tf.math.rsqrt(variance + op.get_attr("epsilon"))
        normal = (x - mean) * inverse
        sums = tf.reduce_sum(z * normal, _EXAMPLES)
        total = tf.reduce_sum(z, _EXAMPLES)
        found = z
        if op.get_attr("is_training"):
            found = z - (total + normal * sums) / count(x, _EXAMPLES)
        return [found * inverse * scale, sums, total]

    return _derivatives(outputs, op.inputs, upstream)


def _derivatives(function, inputs, upstream):
    inputs = list(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
    given = [(o, u) for o, u in zip(outputs, upstream, strict=False) if u is not None]
    return tape.gradient([o for o, _ in given], inputs, [u for _, u in given])
