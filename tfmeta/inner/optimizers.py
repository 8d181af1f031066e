"""Inner optimisers as differentiable pure functions: SGD, momentum, Adam, and weight constraints.

A Keras optimizer assigns variables, through which no derivative flows. These take weights and
slots as tensors and return new ones. Weights are lists; a rate is a float, a scalar tensor, or a
tensor of the weight's shape. As Keras' optimizers do, a step ends in the projection onto the
weights' constraints.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.derivatives.recorded import recorded


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class SGD:
    """w <- w - rate * g, with an optional heavy-ball momentum m <- momentum * m + g (Polyak 1964).

    Attributes:
        momentum: 0 for plain gradient descent; else w <- w - rate * m.
    """

    momentum: float = 0.0

    def init(self, weights: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the slots that belong to fresh weights: a flat list of tensors."""
        return [tf.zeros_like(weight) for weight in weights] if self.momentum else []

    def update(
        self,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        slots: Sequence[tf.Tensor],
        rates: Sequence[Any],
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns (new weights, new slots) after one step.

        Args:
            weights: list of tensors.
            gradients: list of tensors, shapes of `weights`.
            slots: as `init` or the last `update` returned them.
            rates: list of floats or tensors, one a weight.
        """
        directions = gradients
        if self.momentum:
            directions = slots = [
                self.momentum * slot + gradient
                for slot, gradient in zip(slots, gradients, strict=True)
            ]
        moved = [
            weight - _cast(rate, weight) * direction
            for weight, rate, direction in zip(weights, rates, directions, strict=True)
        ]
        return moved, list(slots)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `keras.saving`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SGD":
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), differentiable at gradients of 0.

    Reptile's inner optimiser is Adam with `beta_1=0` (Nichol et al. 2018, appendix; their code).

    Attributes:
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    beta_1: float = 0.0
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, weights: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the slots of fresh weights: step count [], second moments, first moments."""
        firsts = [tf.zeros_like(weight) for weight in weights] if self.beta_1 else []
        return [tf.zeros([], tf.int32), *(tf.zeros_like(weight) for weight in weights), *firsts]

    def update(
        self,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        slots: Sequence[tf.Tensor],
        rates: Sequence[Any],
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns (new weights, new slots) after one step; arguments as `SGD.update`."""
        count = slots[0] + 1
        seconds, firsts = slots[1 : 1 + len(weights)], slots[1 + len(weights) :]
        seconds = [
            self.beta_2 * second + (1.0 - self.beta_2) * tf.square(gradient)
            for second, gradient in zip(seconds, gradients, strict=True)
        ]
        directions = gradients
        if self.beta_1:
            directions = firsts = [
                self.beta_1 * first + (1.0 - self.beta_1) * gradient
                for first, gradient in zip(firsts, gradients, strict=True)
            ]
        moved = [
            weight - _cast(rate, weight) * self._step(weight, direction, second, count)
            for weight, rate, direction, second in zip(
                weights, rates, directions, seconds, strict=True
            )
        ]
        return moved, [count, *seconds, *firsts]

    def _step(self, weight, direction, second, count):
        root = safe_sqrt(second / self._correction(self.beta_2, count, weight)) + self.epsilon
        if self.beta_1:
            root *= self._correction(self.beta_1, count, weight)
        return direction / root

    def _correction(self, decay, count, weight):
        return 1.0 - tf.pow(tf.constant(decay, weight.dtype), tf.cast(count, weight.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `keras.saving`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Adam":
        """The inverse of `get_config`."""
        return cls(**config)


def safe_sqrt(x):
    """Square root whose derivatives at 0 are 0 instead of infinite.

    At a second moment of exactly 0 the gradient is 0 too, and so is the step; the chain rule
    through the root would make it 0 times infinity.
    """

    def gradient(upstream):
        return [tf.math.divide_no_nan(0.5 * upstream, safe_sqrt(x))]

    # Recorded: what only a derivative needs costs nothing where there is none.
    (root,) = recorded("SafeSqrt", lambda: [tf.sqrt(x)], gradient, [x])
    return root


def get(optimizer):
    """Returns the inner optimiser of a name ("sgd", "momentum", "adam"), or an instance as it is.

    Raises:
        ValueError: if the name is unknown.
    """
    if not isinstance(optimizer, str):
        return optimizer
    choices = {"sgd": SGD(), "momentum": SGD(momentum=0.9), "adam": Adam()}
    if optimizer not in choices:
        raise ValueError(
            f"An inner optimiser is one of {', '.join(map(repr, choices))}, or an instance of "
            f"tfmeta.inner.SGD or tfmeta.inner.Adam. Received: {optimizer!r}."
        )
    return choices[optimizer]


def _cast(rate, weight):
    # A Python float would pass through float32 in tf.cast, and float64 adaptation lose digits.
    return tf.cast(rate, weight.dtype) if tf.is_tensor(rate) else tf.constant(rate, weight.dtype)


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
