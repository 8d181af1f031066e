"""BMAML (Kim et al. 2018, "Bayesian Model-Agnostic Meta-Learning"): the chaser loss."""

import dataclasses
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_rule import GradientRule, TaskFunctions, TaskGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Part
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.probabilistic.bfa import particle_descent
from tfmeta.learners.probabilistic.predictive import PredictiveMethods
from tfmeta.tasks.task import Examples, Task


class Given(Part):
    """Gradient steps begin at given values.

    Args:
        values: list of tensors, of the weights that adapt.
    """

    only_adapted = True

    def __init__(self, values):
        self._values = values

    def start(self, context: TaskContext) -> list:
        """The given values."""
        return list(self._values)


@dataclasses.dataclass(frozen=True)
class ChaserDistance(GradientRule):
    """The gradient of sum_m ||chaser_m - leader_m||^2 with the leader held fixed.

    Attributes:
        leader_steps: number of steps by which the leader goes beyond the chaser.
        first_order: whether the derivative of the inner gradients is taken as 0.
    """

    leader_steps: int
    first_order: bool = False

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """The gradient of the distance from the chaser to the leader."""
        network = functions.network
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adapted = functions.adapt(
                parameters, task.support, state, key, first_order=self.first_order
            )
            chaser = network.chosen(adapted.weights)
            with tape.stop_recording():
                leader = self.lead(functions, chaser, parameters, task, state, key)
            distance = [c - tf.stop_gradient(v) for c, v in zip(chaser, leader, strict=True)]
            objective = inner.dot(distance, distance)
        gradient = functions.gradient(tape, objective, parameters, what="chaser loss")
        answers = network.query(adapted.weights, state.network, task)
        state = adapted.state._replace(network=answers.network_state)
        logs = {"loss": answers.loss, "objective": objective}
        return TaskGradient(gradient, answers.outputs, state, logs)

    def lead(self, functions: TaskFunctions, chaser, parameters, task: Task, state, key) -> list:
        """The leader: the chaser's particles after more steps, on all examples of the task.

        Args:
            functions: the learner's functions of one task.
            chaser: list of tensors [M, *shape], one a weight that adapts.
            parameters: named tuple of lists of tensors.
            task: support and query set.
            state: named tuple of lists of tensors.
            key: int32 [2].
        """
        led = functions.starting_from(Given(chaser)).adapt(
            parameters,
            joined(task.support, task.query),
            state,
            key,
            inner_steps=self.leader_steps,
            first_order=self.first_order,
        )
        return functions.network.chosen(led.weights)


@keras.saving.register_keras_serializable("tfmeta")
class BMAML(PredictiveMethods, MetaLearner):
    """Particles that learn to arrive, from the support set alone, where the query set leads them.

    The chaser is the particles after `inner_steps` steps on the support set; the leader goes on
    from there for `leader_steps` steps on support and query set together. The meta-gradient is
    that of sum_m ||chaser_m - leader_m||^2 with the leader held fixed (the paper's algorithm 3).
    The likelihood of the queries is not maximised, so there is nothing to overfit it with.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.BMAML(network, inner_rate=0.01, inner_steps=1, particles=3, noise=0.3)
        >>> [tuple(variable.shape) for variable in learner.parameter_variables]
        [(3, 1, 8), (3, 8), (3, 8, 1), (3, 1)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        leader_steps: s of the paper.
        particles: M.
        temperature: of the density that particles descend to, as of `BFA`.
        spread: how far the particles start from the network's weights, as of `BFA`.
        noise: standard deviation of a regression's targets around the output, in their unit.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    gradient_rule: ChaserDistance
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.05,
        inner_steps: int = 1,
        *,
        leader_steps: int = 1,
        particles: int = 5,
        temperature: float = 1e-3,
        spread: float = 1.0,
        noise: float = 0.1,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        if not isinstance(leader_steps, int) or leader_steps < 1:
            raise ValueError(
                f"leader_steps must be a whole number, 1 or more. Received: {leader_steps!r}. "
                "Take tfmeta.BFA for a meta-gradient of the likelihood."
            )
        optimizer = optimizers.get(inner_optimizer)
        super().__init__(
            network,
            particle_descent(inner_rate, optimizer, particles, temperature, spread, noise),
            ChaserDistance(leader_steps, first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.leader_steps = leader_steps
        self.particles = particles
        self.temperature = temperature
        self.spread = spread
        self.first_order = first_order
        self.inner_optimizer = optimizer

    def lead(self, chaser: Any, parameters: Any, task: Task, state: Any, key: tf.Tensor) -> list:
        """The leader: the chaser's particles after more steps, on all examples of the task.

        Args:
            chaser: list of tensors [M, *shape], one a weight that adapts.
            parameters: list of tensors, order of `parameter_variables`.
            task: support and query set.
            state: list of tensors, order of `state_variables`.
            key: int32 [2].
        """
        context = self.task_context(parameters, task.support, state, key)
        values = context.parameters, task, context.state, key
        return self.gradient_rule.lead(self.task_functions, chaser, *values)

    @property
    def particle_variables(self) -> list:
        """The particles [M, *shape], one variable a weight that adapts."""
        return self.task_network.chosen(self.variables_of("network"))


def joined(support, query) -> Examples:
    """The examples of both sets as one."""
    inputs, targets = (
        keras.tree.map_structure(lambda a, b: tf.concat([a, tf.cast(b, a.dtype)], 0), *pair)
        for pair in ((support.inputs, query.inputs), (support.targets, query.targets))
    )
    if support.weights is None and query.weights is None:
        return Examples(inputs, targets)
    weights = [
        tf.ones(tf.shape(part.targets)[:1])
        if part.weights is None
        else tf.cast(part.weights, tf.float32)
        for part in (support, query)
    ]
    return Examples(inputs, targets, tf.concat(weights, axis=0))
