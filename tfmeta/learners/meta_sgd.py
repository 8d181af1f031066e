"""Meta-SGD (Li, Zhou, Chen, Li 2017): MAML with a learned rate for every weight."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners.batch.task_keys import initial_seed
from tfmeta.learners.core.gradient_descent import GradientDescent, Rates
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.learners.meta_learner import MetaLearner


@dataclasses.dataclass(frozen=True)
class LearnedRates(Rates):
    """A learned rate for each entry of every weight that adapts.

    Attributes:
        low: lower end of the range in which the rates start.
        high: upper end of the range.
        seed: the learner's.
    """

    low: float
    high: float
    seed: int = 0
    only_adapted = True

    def groups(self, network) -> list[Group]:
        """The rates, one group."""
        adapted = zip(network.adapted_variables, network.adapted_paths, strict=True)
        counted = inner.counted_paths(network.pure.network)
        rates = [
            WeightSpec(
                path=f"rate/{path}",
                shape=tuple(variable.shape),
                dtype=variable.dtype,
                # One seed a weight, else weights of one shape start with the same rates.
                initializer=keras.initializers.RandomUniform(
                    self.low, self.high, seed=initial_seed(self.seed, "rate", counted[path])
                ),
                name="rate_" + path.replace("/", "_"),
            )
            for variable, path in adapted
        ]
        return [Group("rates", rates)]

    def prepare(self, context) -> list:
        """The learned rates, scaled as the request asks."""
        return [rate * context.rate_scale for rate in context.parameters.rates]


@keras.saving.register_keras_serializable("tfmeta")
class MetaSGD(MetaLearner):
    """Learns the initialisation and, with it, a rate a weight: theta' = theta - alpha o gradient.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.MetaSGD(tfmeta.networks.mlp(hidden=(8,)), rate_range=(0.005, 0.1))
        >>> [tuple(rates.shape) for rates in learner.variables_of("rates")]
        [(1, 8), (8,), (8, 1), (1,)]

    Args:
        network: a built `keras.Model` with one output.
        inner_steps: 1 in the paper.
        rate_range: the rates start uniform in this range (the paper's: 0.005 to 0.1).
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule", "inner_rate")
    refuses_chosen = True

    def __init__(
        self,
        network: keras.Model,
        inner_steps: int = 1,
        *,
        rate_range: Sequence[float] = (0.005, 0.1),
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        if "inner_rate" in options:
            raise ValueError(
                "Meta-SGD learns its inner rates, from a start within rate_range. Received: "
                f"inner_rate={dict(options)['inner_rate']!r}. Pass rate_range=(low, high)."
            )
        low, high = rate_range
        if not 0 <= low <= high:
            raise ValueError(f"rate_range must be 0 <= low <= high. Received: {rate_range!r}.")
        optimizer = optimizers.get(inner_optimizer)
        rates = LearnedRates(low, high, options.get("seed", 0))
        super().__init__(
            network,
            GradientDescent(rates=rates, optimizer=optimizer),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.rate_range = (low, high)
        self.first_order = first_order
        self.inner_optimizer = optimizer

    @property
    def rate_variables(self) -> list:
        """The learned rates, one a weight that adapts, of its shape."""
        return self.variables_of("rates")
