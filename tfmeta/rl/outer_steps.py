"""Outer optimisers of a policy: what a meta-step subtracts from the initialisation.

Each has `descent(objective, weights)` and `check_optimizer(optimizer)`. The result goes to a Keras
optimizer as a gradient would, so that training knows one kind of step: for TRPO, whose step is
whole, that is SGD with a rate of 1.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.rl.configuration import SavedFields


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class PolicyGradient(SavedFields):
    """The gradient of the loss after adaptation; any Keras optimizer may take it."""

    def descent(
        self, objective: Any, weights: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """The meta-gradient (list), and logs: the divergence, 0 before the step, is left out."""
        loss, _ = objective.value(weights)
        return objective.gradient(weights), {"surrogate": loss}

    def check_optimizer(self, optimizer: Any) -> None:
        """Any optimizer will do."""


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class TRPO(SavedFields):
    """Trust region policy optimisation (Schulman et al. 2015) on the adapted policies.

    The direction solves (F + damping) x = g by conjugate gradients: g the meta-gradient, F the
    Hessian of the mean KL divergence of the adapted policies from those that drew the
    trajectories, both with respect to the initialisation, through the inner steps. The step is
    the longest one along x whose quadratic model of the divergence is `max_kl`; it is shortened
    until the surrogate falls and the divergence itself is at most `max_kl`, or is nothing.

    Attributes:
        max_kl: the trust region's size (the paper's 0.01).
        cg_steps: of conjugate gradients. Like the next three, rllab's, which the paper used.
        damping: added to the diagonal.
        shrink: factor from one trial of the line search to the next.
        trials: of the line search, at most.
    """

    max_kl: float = 0.01
    cg_steps: int = 10
    damping: float = 1e-5
    shrink: float = 0.8
    trials: int = 15

    def descent(
        self, objective: Any, weights: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Weights minus new weights (list), and logs.

        Args:
            objective: `MetaObjective`.
            weights: list of tensors.

        Returns:
            The step, and a dict of scalars: "surrogate" and "kl" after it, "trials" made.
        """
        before, _ = objective.value(weights)
        full = self._full_step(objective, weights)

        def unfinished(trial, accepted, *_):
            return tf.logical_and(trial < self.trials, tf.logical_not(accepted))

        def attempt(trial, accepted, loss, kl, step):
            share = tf.pow(tf.cast(self.shrink, before.dtype), tf.cast(trial, before.dtype))
            step = [share * part for part in full]
            loss, kl = objective.value([w - s for w, s in zip(weights, step, strict=True)])
            accepted = tf.logical_and(loss < before, kl <= self.max_kl)
            return trial + 1, accepted, loss, kl, step

        nothing = [tf.zeros_like(weight) for weight in weights]
        start = (tf.constant(0), tf.constant(False), before, tf.zeros_like(before), nothing)
        trials, accepted, loss, kl, step = tf.while_loop(unfinished, attempt, start)
        step = [tf.where(accepted, part, tf.zeros_like(part)) for part in step]
        logs = {
            "surrogate": tf.where(accepted, loss, before),
            "kl": tf.where(accepted, kl, tf.zeros_like(kl)),
            "trials": tf.cast(trials, before.dtype),
        }
        return step, logs

    def _full_step(self, objective, weights):
        gradient = objective.gradient(weights)

        def operator(vector):
            product = objective.kl_product(weights, vector)
            return [p + self.damping * v for p, v in zip(product, vector, strict=True)]

        direction = inner.conjugate_gradient(operator, gradient, self.cg_steps)
        curvature = inner.dot(direction, operator(direction))
        # Where there is no gradient there is no curvature either, and no step.
        scale = tf.sqrt(tf.math.divide_no_nan(2 * self.max_kl, tf.maximum(curvature, 0)))
        return [scale * part for part in direction]

    def check_optimizer(self, optimizer: Any) -> None:
        """Raises a ValueError unless the optimizer leaves the step as it is."""
        plain = type(optimizer) is keras.optimizers.SGD and not optimizer.momentum
        clips = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
        if not plain or float(optimizer.learning_rate) != 1.0 or any(clips):
            raise ValueError(
                "TRPO gives a whole step, which the optimizer must take as it is. Received: "
                f"{type(optimizer).__name__} with learning_rate {float(optimizer.learning_rate)}. "
                "Compile with keras.optimizers.SGD(1.0), or give the learner "
                "outer=PolicyGradient()."
            )
