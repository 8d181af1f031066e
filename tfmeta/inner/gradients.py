"""Gradients that name a weight that has none or are not finite, and Hessian-vector products."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import tensorflow as tf


def gradient(
    tape: tf.GradientTape,
    target: tf.Tensor,
    weights: Sequence[tf.Tensor],
    paths: Sequence[str],
    *,
    what: str,
    zero: Collection[str] = (),
) -> list[tf.Tensor]:
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


def all_finite(loss: tf.Tensor, gradients: Sequence[tf.Tensor], optimizer: Any) -> tf.Tensor:
    """Whether the loss [] and all gradients are finite, a bool [].

    Of the loss alone where the optimizer scales it: that meets infinite gradients on purpose, and
    skips them by itself.
    """
    tensors = [loss] if hasattr(optimizer, "inner_optimizer") else [loss, *gradients]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])


def finite_assertions(
    loss: tf.Tensor,
    gradients: Sequence[tf.Tensor],
    optimizer: Any,
    tasks: Any = (),
    first: int | tf.Tensor = 0,
) -> list[tf.Operation]:
    """What a step that applies the gradients must depend on: a list of tensors.

    Args:
        loss: [], of the batch.
        gradients: list of tensors, of the batch.
        optimizer: of Keras, that will get the gradients.
        tasks: structure of tensors [T, ...] of which loss and gradients are means; the error
            names the tasks whose values are not finite. They are read only where it is raised.
        first: index of the first of the tasks within the batch.
    """

    def refuse():
        message = (
            "The meta-loss or its gradient is not finite. Lower the inner rate or the outer one, "
            "and look for values that are not finite in the data. Step:"
        )
        data = [message, tf.convert_to_tensor(optimizer.iterations)]
        if tasks:
            found = tf.where(tf.logical_not(finite_tasks(tasks)))[:, 0] + tf.cast(first, tf.int64)
            data += ["Tasks, counted from 0 within the batch:", found]
        # Not `tf.debugging.Assert`, which is another condition within this one.
        assertion = tf.raw_ops.Assert(condition=False, data=data, summarize=100)
        with tf.control_dependencies([] if assertion is None else [assertion]):
            return tf.constant(False)

    return [tf.cond(all_finite(loss, gradients, optimizer), lambda: tf.constant(True), refuse)]


def finite_tasks(tasks: Any) -> tf.Tensor:
    """Which tasks have finite values only, a bool [T], of a structure of tensors [T, ...]."""
    flags = [
        tf.reduce_all(tf.math.is_finite(tensor), axis=list(range(1, tensor.shape.rank)))
        for tensor in tf.nest.flatten(tasks)
        if tensor.dtype.is_floating
    ]
    return tf.reduce_all(tf.stack(flags), axis=0)


def hessian_operator(
    loss: Callable[[Sequence], tf.Tensor], weights: Sequence[tf.Tensor]
) -> Callable[[Sequence], list]:
    """Returns the function v -> H v, reverse over reverse: v times the Jacobian of the gradient.

    The gradient is computed once, here, and each product only goes back through it.

    Args:
        loss: function of a list of weights to a scalar.
        weights: list of tensors at which the Hessian is taken.

    Returns:
        A function of a list of tensors, shapes of `weights`, to such a list.
    """
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(weights)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            value = loss(weights)
        first = inner.gradient(value, weights, unconnected_gradients="zero")
        first = [tf.convert_to_tensor(gradient) for gradient in first]

    def product(vector):
        second = outer.gradient(
            first, weights, output_gradients=vector, unconnected_gradients="zero"
        )
        return [tf.convert_to_tensor(value) for value in second]

    return product


def hessian_vector_product(
    loss: Callable[[Sequence], tf.Tensor], weights: Sequence[tf.Tensor], vector: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Returns H v at `weights`, once; see `hessian_operator`."""
    return hessian_operator(loss, weights)(vector)


def dot(left: Sequence[tf.Tensor], right: Sequence[tf.Tensor]) -> tf.Tensor:
    """Inner product of two lists of tensors."""
    return tf.add_n([tf.reduce_sum(a * b) for a, b in zip(left, right, strict=True)])
