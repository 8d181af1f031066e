"""Gradients that name a weight that has none, and Hessian-vector products."""

import tensorflow as tf


def gradient(tape, target, weights, paths, *, what, zero=()):
    """Returns `tape`'s gradient of `target` for each weight, dense.

    Embedding lookups give `tf.IndexedSlices`, which do not subtract from a weight.

    Args:
        tape: a `tf.GradientTape` that watched `weights`.
        target: the loss [].
        weights: list of tensors.
        paths: name of each weight, for the error.
        what: what was differentiated ("support loss").
        zero: paths of weights whose gradient is 0 where they have none.

    Raises:
        ValueError: if another weight has no gradient; all such weights are named.
    """
    gradients = [
        tf.zeros_like(weight) if value is None and path in zero else value
        for weight, value, path in zip(weights, tape.gradient(target, weights), paths, strict=True)
    ]
    missing = [path for path, value in zip(paths, gradients, strict=True) if value is None]
    if missing:
        raise ValueError(
            f"Every weight needs a gradient of the {what}. Received none for: "
            f"{', '.join(missing)}. Freeze weights that take no part (layer.trainable = False), "
            "or leave them out of `adapted`."
        )
    return [tf.convert_to_tensor(value) for value in gradients]


def hessian_vector_product(loss, weights, vector):
    """Returns H v, reverse over reverse: the gradient of <dloss/dweights, v>.

    Args:
        loss: function of a list of weights to a scalar.
        weights: list of tensors at which the Hessian is taken.
        vector: list of tensors, shapes of `weights`.
    """
    with tf.GradientTape() as outer:
        outer.watch(weights)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            value = loss(weights)
        first = inner.gradient(value, weights, unconnected_gradients="zero")
        product = dot([tf.convert_to_tensor(g) for g in first], vector)
    second = outer.gradient(product, weights, unconnected_gradients="zero")
    return [tf.convert_to_tensor(value) for value in second]


def dot(left, right):
    """Inner product of two lists of tensors."""
    return tf.add_n([tf.reduce_sum(a * b) for a, b in zip(left, right, strict=True)])
