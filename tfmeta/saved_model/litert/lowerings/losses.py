"""Cross-entropies of logits: their values and gradients."""

import tensorflow as tf

from tfmeta.saved_model.litert.lowerings.arithmetic import minus, negative
from tfmeta.saved_model.litert.lowerings.registry import lowering


@lowering("SparseSoftmaxCrossEntropyWithLogits")
def _sparse(operation, logits, labels):
    return _cross_entropy(logits, tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype))


@lowering("SoftmaxCrossEntropyWithLogits")
def _dense(operation, logits, targets):
    shape = operation.outputs[1].shape
    return _cross_entropy(tf.broadcast_to(logits, shape), tf.broadcast_to(targets, shape))


def _cross_entropy(logits, targets):
    """Losses [N] of logits [N, classes], and their derivative by the logits."""
    shifted = minus(logits, tf.reduce_max(logits, axis=-1, keepdims=True))
    total = tf.reduce_sum(tf.exp(shifted), axis=-1, keepdims=True)
    log_probabilities = minus(shifted, tf.math.log(total))
    losses = negative(tf.reduce_sum(targets * log_probabilities, axis=-1))
    return [losses, minus(tf.exp(log_probabilities), targets)]
