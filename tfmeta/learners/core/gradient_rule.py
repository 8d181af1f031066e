"""Gradient rules: what the query set of a task says about the initialisation."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.core import known_features
from tfmeta.learners.core.adaptation import Adaptation, Adapted, TaskContext, adapt
from tfmeta.learners.core.parts import Part
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.tasks.task import Examples, Task


class TaskGradient(NamedTuple):
    """What one task contributes to a meta-step.

    Attributes:
        gradient: structure of the parameters. For an override of `MetaLearner.task_gradient` a
            list of tensors, order of `parameter_variables`.
        query_outputs: the adapted network's raw outputs [Q, ...], with the network's mask where
            it gives one (`inner.mask_of`).
        state: structure of the state; there a list, order of `state_variables`.
        logs: dict of scalars to average and report; "loss" is always there.
    """

    gradient: Any
    query_outputs: tf.Tensor
    state: Any
    logs: dict


@dataclasses.dataclass(frozen=True)
class TaskFunctions:
    """What a gradient rule may ask of a learner in training.

    Attributes:
        network: losses, gradients and answers as functions of weights.
        adaptation: how a support set moves weights.
        inner_steps: inner steps in training.
        paths: path of each parameter, in order.
        gradient_optional: paths of parameters that may have no gradient; it then counts as 0.
        rematerialize: recompute inner steps in the backward pass.
    """

    network: TaskNetwork
    adaptation: Adaptation
    inner_steps: int
    paths: list
    gradient_optional: frozenset = frozenset()
    rematerialize: bool = False

    def context(
        self,
        parameters: Any,
        support: Examples,
        state: Any,
        key: tf.Tensor,
        *,
        first_order: bool = True,
    ) -> TaskContext:
        """A task in training, as parts of an adaptation see it."""
        return TaskContext(
            self.network, parameters, state, support, key, training=True, first_order=first_order
        )

    def adapt(
        self,
        parameters: Any,
        support: Examples,
        state: Any,
        key: tf.Tensor,
        *,
        inner_steps: int | None = None,
        first_order: bool = True,
        observe: Callable[[list], Any] | None = None,
    ) -> Adapted:
        """Adapts in training; arguments as of `core.adaptation.adapt` and `TaskContext`."""
        return adapt(
            self.adaptation,
            self.context(parameters, support, state, key, first_order=first_order),
            self.inner_steps if inner_steps is None else inner_steps,
            observe=observe,
            rematerialize=self.rematerialize,
        )

    def knowing_task(self, parameters: Any, state: Any, task: Task) -> "TaskFunctions":
        """The same functions, with what the network need not compute again of a task's sets.

        Tapes that differentiate by the parameters must be open already.

        Args:
            parameters: named tuple of lists of tensors.
            state: named tuple of lists of tensors.
            task: support and query set.
        """
        network = known_features.knowing_task(self.network, parameters.network, state.network, task)
        return dataclasses.replace(self, network=network)

    def starting_from(self, initial: Part) -> "TaskFunctions":
        """The same functions, with gradient steps that begin elsewhere."""
        adaptation: Any = self.adaptation
        adaptation = dataclasses.replace(adaptation, initial=initial)
        return dataclasses.replace(self, adaptation=adaptation)

    def gradient(
        self,
        tape: tf.GradientTape,
        objective: tf.Tensor,
        parameters: Any,
        *,
        what: str = "query loss",
    ) -> Any:
        """The tape's gradient of an objective [], structure of the parameters.

        Raises:
            ValueError: if a parameter has no gradient and needs one; the parameter is named.
        """
        flat = inner.gradient(
            tape,
            objective,
            tf.nest.flatten(parameters),
            self.paths,
            what=what,
            zero=self.gradient_optional,
        )
        return tf.nest.pack_sequence_as(parameters, flat)


class GradientRule(Part):
    """How the query set of a task becomes a gradient of the parameters.

    Attributes:
        learns_from_queries: whether the gradient is one of query losses, which weights of queries
            change.
        further_logs: names of logs beside "loss" that `fit` reports as means over an epoch.
    """

    learns_from_queries: bool = True
    further_logs: tuple[str, ...] = ()

    @property
    def second_order(self) -> bool:
        """Whether the rule needs second derivatives of the network."""
        return False

    @property
    def training_ways(self) -> int | None:
        """Number of classes that labels of training tasks tell apart; None: the output's size."""
        return None

    def check_parameters(self, groups: Sequence[str]) -> None:
        """Raises a ValueError if the rule gives no gradient to a group of parameters.

        Args:
            groups: names of the learned groups beside "network".
        """

    def task_gradient(
        self, functions: TaskFunctions, parameters: Any, task: Task, state: Any, key: tf.Tensor
    ) -> TaskGradient:
        """The contribution of one task.

        Args:
            functions: the learner's functions of one task.
            parameters: named tuple of lists of tensors.
            task: support and query set.
            state: named tuple of lists of tensors.
            key: int32 [2], a function of the seed and the task's index.
        """
        raise NotImplementedError(f"{type(self).__name__} must define task_gradient.")

    def after_updates(self, state: Any, updates: int | tf.Tensor) -> Any:
        """The state after updates of the parameters.

        Args:
            state: named tuple of lists, the mean over the tasks of a batch.
            updates: number of updates, an int or an integer scalar tensor.
        """
        return state


def refuse_groups(rule: str, groups: Sequence[str]) -> None:
    """Raises a ValueError for learned groups to which a rule gives no gradient.

    Args:
        rule: name of the rule's class.
        groups: names of the learned groups beside "network".
    """
    if groups:
        raise ValueError(
            f"{rule} gives a gradient to the network's weights alone. Received: parts that learn "
            f"{', '.join(groups)}. Take parts without variables, or the rule QueryGradient."
        )


class Objective(NamedTuple):
    """An objective that is descended, and what else a meta-step needs of the task.

    Attributes:
        value: [].
        query_outputs: [Q, ...].
        state: structure of the state.
        logs: dict of scalars; "loss" is always there.
    """

    value: tf.Tensor
    query_outputs: tf.Tensor
    state: Any
    logs: dict


class ObjectiveGradient(GradientRule):
    """The gradient of an objective of the parameters. A subclass only writes the objective.

    Attributes:
        described_as: the objective in error messages.
    """

    described_as: str = "query loss"

    def objective(
        self, functions: TaskFunctions, parameters: Any, task: Task, state: Any, key: tf.Tensor
    ) -> Objective:
        """The objective of one task; arguments as of `task_gradient`."""
        raise NotImplementedError(f"{type(self).__name__} must define objective.")

    def task_gradient(
        self, functions: TaskFunctions, parameters: Any, task: Task, state: Any, key: tf.Tensor
    ) -> TaskGradient:
        """The gradient of the objective with respect to all parameters."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            found = self.objective(functions, parameters, task, state, key)
        gradient = functions.gradient(tape, found.value, parameters, what=self.described_as)
        return TaskGradient(gradient, found.query_outputs, found.state, found.logs)


@dataclasses.dataclass(frozen=True)
class QueryGradient(ObjectiveGradient):
    """The gradient of the query loss after adaptation, through the inner steps.

    Attributes:
        first_order: whether the derivative of the inner gradients is taken as 0.
    """

    first_order: bool = False

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def objective(
        self, functions: TaskFunctions, parameters: Any, task: Task, state: Any, key: tf.Tensor
    ) -> Objective:
        """The query loss of the adapted weights."""
        functions = functions.knowing_task(parameters, state, task)
        adapted = functions.adapt(
            parameters, task.support, state, key, first_order=self.first_order
        )
        answers = functions.network.query(adapted.weights, state.network, task)
        state = adapted.state._replace(network=answers.network_state)
        return Objective(answers.loss, answers.outputs, state, {"loss": answers.loss})
