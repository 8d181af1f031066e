"""Weight constraints in the inner loop: a projection after every step, as Keras' optimizers do."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.derivatives.recorded import recorded
from tfmeta.inner.optimizers import safe_sqrt


class Projection:
    """Projects weights onto the constraints of their variables.

    Values are those of the variables' own constraints. Derivatives are exact; where a norm is 0,
    at which Keras' formulas have none, that of the norm is taken as 0.

    Example:
        >>> import keras, tensorflow as tf
        >>> from tfmeta.inner import Projection
        >>> layer = keras.layers.Dense(1, kernel_constraint="non_neg")
        >>> layer.build((None, 2))
        >>> projection = Projection(layer.trainable_variables)
        >>> projection([tf.constant([[-1.0], [2.0]]), tf.constant([-3.0])])[0].numpy().tolist()
        [[0.0], [2.0]]

    Attributes:
        paths: paths of the variables that have a constraint.
    """

    def __init__(self, variables: Sequence[Any]):
        """Takes the constraints of Keras variables."""
        self._constraints = [variable.constraint for variable in variables]
        self.paths = [v.path for v in variables if v.constraint is not None]

    def __call__(self, weights, *, held=False):
        """Returns the projected weights.

        Args:
            weights: list of tensors, one a variable.
            held: whether a derivative takes the projection for the identity, as first-order
                methods take the whole path.
        """
        project = _held if held else _projected
        return [
            weight if constraint is None else project(constraint, weight)
            for constraint, weight in zip(self._constraints, weights, strict=True)
        ]


def _held(constraint, weight):
    (projected,) = recorded(
        "HeldProjection",
        lambda: [_projected(constraint, weight)],
        lambda upstream: [upstream],
        [weight],
    )
    return projected


def _projected(constraint, weight):
    kind = type(constraint)
    if kind not in (
        keras.constraints.MaxNorm,
        keras.constraints.UnitNorm,
        keras.constraints.MinMaxNorm,
    ):
        return tf.cast(constraint(weight), weight.dtype)
    norms = safe_sqrt(tf.reduce_sum(tf.square(weight), axis=constraint.axis, keepdims=True))
    if kind is keras.constraints.UnitNorm:
        return weight / (keras.config.epsilon() + norms)
    if kind is keras.constraints.MaxNorm:
        desired = _clipped(norms, 0, constraint.max_value)
    else:
        clipped = _clipped(norms, constraint.min_value, constraint.max_value)
        desired = constraint.rate * clipped + (1 - constraint.rate) * norms
    return weight * (desired / (keras.config.epsilon() + norms))


def _clipped(norms, low, high):
    return tf.clip_by_value(norms, tf.cast(low, norms.dtype), tf.cast(high, norms.dtype))
