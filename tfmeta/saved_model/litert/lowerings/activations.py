"""Gradients of activation functions."""

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.arithmetic import minus, negative, over, where
from tfmeta.saved_model.litert.lowerings.registry import lowering

# Klambauer et al., 2017 (SELU): the outputs' scale, and scale times alpha.
_SELU_SCALE, _SELU_SCALE_ALPHA = 1.0507009873554805, 1.7580993408473768


@lowering("ReluGrad")
def _relu(operation, upstream, features):
    return [upstream * where(features > 0, upstream.dtype)]


@lowering("Relu6Grad")
def _relu6(operation, upstream, features):
    inside = tf.logical_and(features > 0, features < 6)
    return [upstream * where(inside, upstream.dtype)]


@lowering("LeakyReluGrad")
def _leaky_relu(operation, upstream, features):
    slope = upstream * operation.get_attr("alpha")
    return [tf.where(features > 0, upstream, slope)]


@lowering("EluGrad")
def _elu(operation, upstream, outputs):
    return [tf.where(outputs < 0, upstream * (outputs + 1.0), upstream)]


@lowering("SeluGrad")
def _selu(operation, upstream, outputs):
    curved = upstream * (outputs + _SELU_SCALE_ALPHA)
    return [tf.where(outputs < 0, curved, upstream * _SELU_SCALE)]


@lowering("Softplus")
def _softplus(operation, x):
    # The converter's log(1 + exp(x)) overflows.
    return [tf.maximum(x, 0.0) + tf.math.log(tf.exp(negative(tf.abs(x))) + 1.0)]


@lowering("SoftplusGrad")
def _softplus_grad(operation, upstream, features):
    return [upstream * tf.sigmoid(features)]


@lowering("Softsign")
def _softsign(operation, x):
    return [over(x, tf.abs(x) + 1.0)]


@lowering("SoftsignGrad")
def _softsign_grad(operation, upstream, features):
    return [over(upstream, tf.square(tf.abs(features) + 1.0))]


@lowering("SigmoidGrad")
def _sigmoid(operation, y, upstream):
    return [upstream * minus(y, y * y)]


@lowering("TanhGrad")
def _tanh(operation, y, upstream):
    return [minus(upstream, upstream * y * y)]
