"""Which of the inner gradients carry a meta-step (Nichol, Achiam, Schulman 2018, section 6.1)."""

import keras
import tensorflow as tf

from tfmeta.learners.reptile import Reptile


@keras.saving.register_keras_serializable("tfmeta")
class GradientCombination(Reptile):
    """Reptile with a factor of its own for the move of each inner step.

    With phi_1 the initialisation and phi_(i+1) = phi_i - alpha g_i, the gradient of the
    initialisation is the sum of c_i (phi_i - phi_(i+1)), which is alpha times the sum of c_i g_i:
    c = (1, 1, 1) is Reptile of three steps, (0, 0, 1) first-order MAML of three minibatches, and
    (1,) joint training. As in the authors' code moves are combined, not gradients, so an outer
    rate means what Reptile's means, and any inner optimiser will do.

    Minibatches are disjoint where a task has at least as many examples as the steps take
    (`batch_size` each): they are drawn without replacement within an epoch.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        coefficients: c_i, one an inner step of training.
        inner_optimizer: "sgd" (the paper's here), "momentum", "adam", or an instance.
        **options: of `Reptile`, but for `inner_steps`.
    """

    _observed = staticmethod(list)

    def __init__(
        self, network, inner_rate=0.003, coefficients=(1, 1), *, inner_optimizer="sgd", **options
    ):
        if not len(coefficients) or not any(coefficients):
            raise ValueError(
                "coefficients must hold a number for each inner step, not all 0. "
                f"Received: {coefficients!r}. Pass (0, 1) for the second gradient alone."
            )
        super().__init__(
            network, inner_rate, len(coefficients), inner_optimizer=inner_optimizer, **options
        )
        self.coefficients = tuple(float(value) for value in coefficients)

    def _direction(self, parameters, adaptation):
        """The sum of c_i (phi_i - phi_(i+1)); 0 for weights that do not adapt."""
        return [
            tf.tensordot(tf.constant(self.coefficients, path.dtype), path[:-1] - path[1:], 1)
            for path in adaptation.records
        ]

    def get_config(self):
        config = {**super().get_config(), "coefficients": self.coefficients}
        config.pop("inner_steps")
        return config
