"""BFA, Bayesian fast adaptation (Kim et al. 2018, section 3.1): SVGD in the inner loop."""

import dataclasses
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.inner.likelihood import log_mean_exp
from tfmeta.learners import checks
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import (
    FixedRates,
    GradientDescent,
    PlainGradient,
    Sampling,
)
from tfmeta.learners.core.gradient_rule import Objective, ObjectiveGradient, TaskFunctions
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.core.sampled_network import sampled
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.probabilistic.predictive import PredictiveMethods
from tfmeta.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Particles(Part):
    """Gradient steps begin at learned particles, one value a particle of each weight that adapts.

    Attributes:
        count: M.
        spread: how far the particles start from the network's weights, from 0 to 1.
    """

    count: int
    spread: float
    only_adapted = True

    def groups(self, network) -> list[Group]:
        """All weights; particles [M, *shape] in place of those that adapt."""
        variables = network.pure.network.trainable_variables
        entries = list(zip(network.paths, variables, strict=True))
        particles = [
            WeightSpec(
                path=path,
                shape=(self.count, *variable.shape),
                dtype=variable.dtype,
                initializer=self._spread_around(variable),
                name="particles_" + path.replace("/", "_"),
            )
            for path, variable in network.chosen(entries)
        ]
        return [Group("network", network.filled(entries, particles))]

    def start(self, context: TaskContext) -> list:
        """The particles."""
        network = sampled(context.network)
        if network.samples != self.count:
            raise ValueError(
                f"The samples are the {self.count} particles. Received: "
                f"samples={network.samples}. Leave it out, or make the learner with "
                f"particles={network.samples}."
            )
        return network.chosen(context.parameters.network)

    def _spread_around(self, variable):
        """An initializer: draws with mean and deviation of the variable's entries."""

        def initializer(shape, dtype=None):
            start = keras.ops.convert_to_tensor(variable)
            middle, deviation = keras.ops.mean(start), keras.ops.std(start)
            noise = keras.random.normal(shape, dtype=dtype)
            kept = (1.0 - self.spread**2) ** 0.5
            return middle + kept * (start - middle) + self.spread * deviation * noise

        return initializer


@dataclasses.dataclass(frozen=True)
class SteinDirection(PlainGradient):
    """In place of each particle's gradient, the direction of Stein variational descent.

    Attributes:
        temperature: of the density that the particles descend to.
    """

    temperature: float
    only_adapted = True

    def directions(self, context: TaskContext, prepared, values, gradients) -> list:
        """Directions [M, *shape]; held fixed where derivatives leave inner gradients out."""
        found = inner.svgd_direction(values, gradients, self.temperature)
        return [tf.stop_gradient(value) for value in found] if context.first_order else found


@dataclasses.dataclass(frozen=True)
class MeanLikelihood(ObjectiveGradient):
    """-1/Q log (1/M sum_m p(query set | particle m)), the paper's equation 6, per query.

    Attributes:
        first_order: whether the derivative of the inner gradients is taken as 0.
    """

    first_order: bool = False

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def objective(self, functions: TaskFunctions, parameters, task: Task, state, key) -> Objective:
        """The negative log-likelihood of the query set, per query."""
        network = sampled(functions.network)
        adapted = functions.adapt(
            parameters, task.support, state, key, first_order=self.first_order
        )
        outputs, own, network_state = network.query_samples(adapted.weights, state.network, task)
        count = tf.cast(tf.shape(outputs)[1], outputs.dtype)
        if task.query.weights is not None:
            count = tf.maximum(tf.reduce_sum(tf.cast(task.query.weights, outputs.dtype)), 1.0)
        likelihood = network.log_likelihood(outputs, task.query)
        value = -log_mean_exp(count * likelihood) / count + tf.reduce_mean(own)
        combined = network.likelihood.combined(outputs)
        loss = network.loss(task.query.targets, combined, task.query.weights)
        state = adapted.state._replace(network=network_state)
        return Objective(value, combined, state, {"loss": loss, "objective": value})


def particle_descent(inner_rate, optimizer, particles, temperature, spread, noise):
    """Stein variational gradient descent of particles; arguments as of `BFA`."""
    if not temperature >= 0:
        raise ValueError(
            f"temperature must be 0 or more. Received: {temperature!r}. "
            "Pass 1 / S for the posterior of S examples under a cross-entropy."
        )
    if not 0 <= spread <= 1:
        raise ValueError(
            f"spread must be from 0 to 1. Received: {spread!r}. "
            "Pass 1 for particles that start independent of one another."
        )
    return GradientDescent(
        rates=FixedRates(inner_rate),
        optimizer=optimizer,
        initial=Particles(checks.check_samples(particles), spread),
        direction=SteinDirection(temperature),
        sampling=Sampling(particles, checks.check_noise(noise)),
    )


@keras.saving.register_keras_serializable("tfmeta")
class BFA(PredictiveMethods, MetaLearner):
    """Adapts M particles together by Stein variational gradient descent.

    The initialisation is M particles, one value a particle of each weight that adapts; the other
    weights are shared. An inner step moves them along `tfmeta.inner.svgd_direction` towards the
    density proportional to exp(-support loss / temperature). The meta-gradient is that of
    -1/Q log (1/M sum_m p(query set | particle m)), the paper's equation 6, per query. With one
    particle this is MAML on the negative log-likelihood.

    Since a particle's step is a mean over M of what all others say, particles that are far apart
    move by 1/M of their own gradient: the inner rate is about M / 2 times MAML's.

    The particles are the learner's own variables; the wrapped network keeps, of the weights that
    adapt, the values that it was made with.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.BFA(network, inner_rate=0.01, inner_steps=1, particles=3, noise=0.3)
        >>> [tuple(variable.shape) for variable in learner.parameter_variables]
        [(3, 1, 8), (3, 8), (3, 8, 1), (3, 1)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        particles: M.
        temperature: of the density that particles descend to. The posterior of S examples with a
            flat prior has 1 / S for a cross-entropy and 2 noise^2 / S for a squared error; 0
            leaves the repulsion out.
        spread: how far the particles start from the network's weights, from 0 (all there) to 1
            (each drawn anew with the mean and deviation of the entries of each weight).
        noise: standard deviation of a regression's targets around the output, in their unit.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.05,
        inner_steps: int = 1,
        *,
        particles: int = 5,
        temperature: float = 1e-3,
        spread: float = 1.0,
        noise: float = 0.1,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        optimizer = optimizers.get(inner_optimizer)
        super().__init__(
            network,
            particle_descent(inner_rate, optimizer, particles, temperature, spread, noise),
            MeanLikelihood(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.particles = particles
        self.temperature = temperature
        self.spread = spread
        self.first_order = first_order
        self.inner_optimizer = optimizer

    @property
    def particle_variables(self) -> list:
        """The particles [M, *shape], one variable a weight that adapts."""
        return self.task_network.chosen(self.variables_of("network"))
