"""Which of the inner gradients carry a meta-step (Nichol, Achiam, Schulman 2018, section 6.1)."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfmeta.inner import optimizers
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.reptile import Displacement, minibatch_descent


@keras.saving.register_keras_serializable("tfmeta")
class GradientCombination(MetaLearner):
    """Reptile with a factor of its own for the move of each inner step.

    With phi_1 the initialisation and phi_(i+1) = phi_i - alpha g_i, the gradient of the
    initialisation is the sum of c_i (phi_i - phi_(i+1)), which is alpha times the sum of c_i g_i:
    c = (1, 1, 1) is Reptile of three steps, (0, 0, 1) first-order MAML of three minibatches, and
    (1,) joint training. As in the authors' code moves are combined, not gradients, so an outer
    rate means what Reptile's means, and any inner optimiser will do.

    Minibatches are disjoint where a task has at least as many examples as the steps take
    (`batch_size` each): they are drawn without replacement within an epoch.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> last = tfmeta.GradientCombination(network, coefficients=(0, 0, 1))
        >>> last.inner_steps
        3

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        coefficients: c_i, one an inner step of training.
        inner_optimizer: "sgd" (the paper's here), "momentum", "adam", or an instance.
        batch_size: examples of an inner minibatch in training; None: all.
        test_batch_size: in evaluation and export; None: `batch_size`.
        carry_moments: as of `Reptile`.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule", "inner_steps")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.003,
        coefficients: Sequence[float] = (1, 1),
        *,
        inner_optimizer: Any = "sgd",
        batch_size: int | None = None,
        test_batch_size: int | None = None,
        carry_moments: bool = False,
        **options: Unpack[LearnerOptions],
    ):
        if not len(coefficients) or not any(coefficients):
            raise ValueError(
                "coefficients must hold a number for each inner step, not all 0. "
                f"Received: {coefficients!r}. Pass (0, 1) for the second gradient alone."
            )
        coefficients = tuple(float(value) for value in coefficients)
        optimizer = optimizers.get(inner_optimizer)
        test_size = batch_size if test_batch_size is None else test_batch_size
        super().__init__(
            network,
            minibatch_descent(inner_rate, optimizer, batch_size, test_size, carry_moments),
            Displacement(coefficients),
            inner_steps=len(coefficients),
            **options,
        )
        self.coefficients = coefficients
        self.inner_optimizer = optimizer
        self.batch_size = batch_size
        self.test_batch_size = test_size
        self.carry_moments = carry_moments

    @property
    def slot_variables(self) -> list:
        """The carried slots of the inner optimiser; empty without `carry_moments`."""
        return self.variables_of("slots") if self.carry_moments else []
