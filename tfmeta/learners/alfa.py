"""ALFA (Baik, Choi, Choi, Kim, Lee 2020): rates and decay from the statistics of each step."""

import dataclasses
from typing import Any, NamedTuple, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.batch.task_keys import initial_seed
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import GivenRates, GradientDescent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.core.per_step import at_step
from tfmeta.learners.meta_learner import MetaLearner


class RateAndDecay(NamedTuple):
    """How far a step goes.

    Attributes:
        rate: alpha, of the gradient.
        decay: beta, the share of the weight that is taken away.
    """

    rate: tf.Tensor
    decay: tf.Tensor


class DecayedDescent(Part):
    """w <- (1 - decay) w - rate g: gradient descent with a decay of the weights."""

    only_adapted = True

    def init(self, weights) -> list:
        """There are no slots."""
        return []

    def update(self, weights, gradients, slots, rates) -> tuple[list, list]:
        """The weights after one step; `rates` holds a `RateAndDecay` a weight."""
        moved = [
            (1.0 - tf.cast(found.decay, weight.dtype)) * weight
            - tf.cast(found.rate, weight.dtype) * gradient
            for weight, gradient, found in zip(weights, gradients, rates, strict=True)
        ]
        return moved, list(slots)


@dataclasses.dataclass(frozen=True)
class GeneratedRates(GivenRates):
    """A rate and a decay a weight and step, from a small network of the step's statistics.

    The network (two dense layers, ReLU between them) sees the mean of every weight that adapts
    and of its gradient, 2N numbers, and gives 2N factors. They multiply a learned rate and a
    learned decay a weight and step. The factors begin near 1.

    Attributes:
        rate: where the learned rates start: one number, or a dict from patterns to numbers.
        decay: where the learned decays start.
        steps: n, number of inner steps in training; later steps take the numbers of the last.
        seed: the learner's, of which the small network's initial weights are functions.
    """

    decay: float
    steps: int
    seed: int = 0
    only_adapted = True

    def groups(self, network) -> list[Group]:
        """Learned rates [n] and decays [n] a weight, and the layers of the small network."""
        dtype = network.adapted_variables[0].dtype
        paths, constant = network.adapted_paths, keras.initializers.Constant
        width = 2 * len(paths)
        rates = [
            WeightSpec(
                f"rate/{p}", (self.steps,), dtype, constant(r), f"rate_{p}".replace("/", "_")
            )
            for p, r in zip(paths, self.of(network), strict=True)
        ]
        decays = [
            WeightSpec(
                f"decay/{p}",
                (self.steps,),
                dtype,
                constant(self.decay),
                f"decay_{p}".replace("/", "_"),
            )
            for p in paths
        ]
        first, second = (initial_seed(self.seed, "generator", layer) for layer in ("1", "2"))
        layers = [
            WeightSpec(f"generator/{name}", shape, dtype, start, f"generator_{name}")
            for name, shape, start in (
                ("kernel_1", (width, width), keras.initializers.GlorotUniform(seed=first)),
                ("bias_1", (width,), "zeros"),
                ("kernel_2", (width, width), keras.initializers.RandomNormal(0.0, 1e-2, second)),
                ("bias_2", (width,), "ones"),
            )
        ]
        return [Group("rates", rates), Group("decays", decays), Group("generator", layers)]

    def prepare(self, context: TaskContext) -> tuple:
        """The learned numbers of all steps, the rates scaled as the request asks."""
        parameters = context.parameters
        rates = [rate * context.rate_scale for rate in parameters.rates]
        decays = [decay * context.rate_scale for decay in parameters.decays]
        return rates, decays, list(parameters.generator)

    def at_step(self, prepared, index, values, gradients) -> list:
        """A `RateAndDecay` a weight that adapts."""
        rates, decays, (kernel_1, bias_1, kernel_2, bias_2) = prepared
        means = tf.stack([tf.reduce_mean(tensor) for tensor in (*values, *gradients)])
        hidden = tf.nn.relu(tf.linalg.matvec(kernel_1, means, transpose_a=True) + bias_1)
        factors = tf.linalg.matvec(kernel_2, hidden, transpose_a=True) + bias_2
        count = len(values)
        return [
            RateAndDecay(
                factors[i] * at_step(index, rates[i]),
                factors[count + i] * at_step(index, decays[i]),
            )
            for i in range(count)
        ]


@keras.saving.register_keras_serializable("tfmeta")
class ALFA(MetaLearner):
    """MAML whose rate and weight decay follow the state of the adaptation, step by step.

    An inner step is w <- (1 - beta) w - alpha g (the paper's equation 3, with beta the share that
    is taken away). alpha and beta of each weight are learned numbers of the step, times factors
    that a small network computes from the means of all weights and gradients.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.ALFA(tfmeta.networks.mlp(hidden=(8,)), inner_rate=0.01, inner_steps=5)
        >>> [tuple(variable.shape) for variable in learner.variables_of("generator")]
        [(8, 8), (8,), (8, 8), (8,)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: where the learned rates start, or a dict from patterns to rates.
        inner_steps: number of inner steps in training, 1 or more.
        decay: where the learned decays start.
        first_order: whether to leave second derivatives of the network out.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 5,
        *,
        decay: float = 0.0,
        first_order: bool = False,
        **options: Unpack[LearnerOptions],
    ):
        if inner_steps < 1:
            raise ValueError(
                f"ALFA needs an inner step or more. Received: inner_steps={inner_steps}."
            )
        super().__init__(
            network,
            GradientDescent(
                rates=GeneratedRates(inner_rate, decay, inner_steps, options.get("seed", 0)),
                optimizer=DecayedDescent(),
            ),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.decay = decay
        self.first_order = first_order
