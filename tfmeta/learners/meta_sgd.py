"""Meta-SGD (Li, Zhou, Chen, Li 2017): MAML with a learned rate for every weight."""

import keras

from tfmeta.learners.maml import MAML
from tfmeta.learners.task_keys import initial_seed


@keras.saving.register_keras_serializable("tfmeta")
class MetaSGD(MAML):
    """Learns the initialisation and, with it, a rate a weight: theta' = theta - alpha o gradient.

    Args:
        network: a built `keras.Model` with one output.
        inner_steps: 1 in the paper.
        rate_range: the rates start uniform in this range (the paper's: 0.005 to 0.1).
        **options: of `MAML`, but for `inner_rate`.
    """

    def __init__(self, network, inner_steps=1, *, rate_range=(0.005, 0.1), **options):
        if "inner_rate" in options:
            raise ValueError(
                "Meta-SGD learns its inner rates, from a start within rate_range. Received: "
                f"inner_rate={options['inner_rate']!r}. Pass rate_range=(low, high)."
            )
        super().__init__(network, None, inner_steps, **options)
        self.rate_range = tuple(rate_range)
        low, high = self.rate_range
        if not 0 <= low <= high:
            raise ValueError(f"rate_range must be 0 <= low <= high. Received: {rate_range!r}.")
        variables = [self.network.trainable_variables[index] for index in self._adapted]
        self.rate_variables = [
            self.add_weight(
                shape=variable.shape,
                dtype=variable.dtype,
                # One seed a weight, else weights of one shape start with the same rates.
                initializer=keras.initializers.RandomUniform(
                    low, high, seed=initial_seed(self.seed, "rate", path)
                ),
                name="rate_" + path.replace("/", "_"),
            )
            for variable, path in zip(variables, self.adapted_paths, strict=True)
        ]

    @property
    def parameter_variables(self):
        """The network's trainable weights, then the rates of those that adapt."""
        return [*super().parameter_variables, *self.rate_variables]

    @property
    def parameter_paths(self):
        """Paths of the weights, then "rate/" and the path of each that adapts."""
        return [*super().parameter_paths, *(f"rate/{path}" for path in self.adapted_paths)]

    def _inner_rates(self, parameters, key):
        return list(parameters[self._weight_count :])

    def get_config(self):
        config = {**super().get_config(), "rate_range": self.rate_range}
        config.pop("inner_rate")
        return config
