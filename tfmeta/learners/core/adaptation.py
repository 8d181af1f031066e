"""Adaptation: how a support set moves weights. A part says it step by step; `adapt` runs it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.core import known_features
from tfmeta.learners.core.parts import Part
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.tasks.task import Examples


@dataclasses.dataclass(frozen=True)
class TaskContext:
    """One task, as the parts of an adaptation see it.

    Attributes:
        network: losses, gradients and outputs as functions of weights.
        parameters: named tuple of lists of tensors. `network` (order of
            `network.trainable_variables`) is always there; the others are the groups of the
            learner's parts.
        state: named tuple of lists of tensors; `network` is always there.
        support: the support set.
        key: int32 [2], a function of the seed and the task's index.
        rate_scale: factor of all inner rates.
        training: whether the task is part of a meta-step.
        first_order: whether derivatives leave the inner gradients out.
        given: what the adaptation's `prepare` returned.
    """

    network: TaskNetwork
    parameters: Any
    state: Any
    support: Examples
    key: tf.Tensor
    rate_scale: Any = 1.0
    training: bool = False
    first_order: bool = True
    given: Any = ()

    def loss(self, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """The loss [] of the whole support set."""
        return self.network.set_loss(weights, self.state.network, self.support)

    def step_key(self, index: int | tf.Tensor) -> tf.Tensor | None:
        """The key of dropout in inner step `index`; None where nothing is dropped."""
        if not self.network.pure.dropout:
            return None
        return tf.random.experimental.stateless_fold_in(self.key, index)

    def replaced(self, **changes: Any) -> "TaskContext":
        """The same task with other attributes."""
        return dataclasses.replace(self, **changes)


class Adapted(NamedTuple):
    """What adapting to one task gives.

    Attributes:
        weights: list of tensors, order of `network.trainable_variables`.
        support_losses: [n + 1], before the first step and after each.
        state: structure of the context's state.
        records: what was observed before the first step and after each, every tensor
            [n + 1, ...]; None without an observer.
        step_losses: [n], the loss that each step descended (of its minibatch, where there is one).
    """

    weights: list
    support_losses: tf.Tensor
    state: Any
    records: Any = None
    step_losses: Any = None


class Adaptation(Part):
    """How a support set moves weights: pure functions of a `TaskContext`.

    The carry between steps is any structure of tensors; a named tuple reads best.

    Attributes:
        needs_support: whether answers to queries need the support set with its targets.
    """

    needs_support: bool = False

    @property
    def sees_whole_set(self) -> bool:
        """Whether the loss of a step is that of the whole support set."""
        return True

    @property
    def inner_rate(self) -> Any:
        """For metadata: a number, or a dict from patterns; None where there is none."""
        return None

    def task_network(self, **attributes: Any) -> TaskNetwork:
        """The network that the adaptation works with.

        Args:
            **attributes: of `TaskNetwork`.
        """
        return TaskNetwork(**attributes)

    def prepare(self, context: TaskContext) -> Any:
        """What is computed once a task, before the first step: `context.given` of the steps."""
        return ()

    def start(self, context: TaskContext) -> Any:
        """The carry before the first step."""
        raise NotImplementedError(f"{type(self).__name__} must define start.")

    def step(self, context: TaskContext, index: tf.Tensor, carry: Any) -> tuple[Any, tf.Tensor]:
        """The carry after inner step `index` (int32 []), and the loss [] that it descended."""
        raise NotImplementedError(f"{type(self).__name__} must define step.")

    def finish(self, context: TaskContext, done: int | tf.Tensor, carry: Any) -> list:
        """The weights that answer queries after `done` steps (an int, or int32 [])."""
        raise NotImplementedError(f"{type(self).__name__} must define finish.")

    def end(self, context: TaskContext, carry: Any) -> Any:
        """The state that the task leaves."""
        return context.state

    def support_loss(self, context: TaskContext, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """The loss [] of the whole support set at weights that `finish` gave."""
        return context.loss(weights)

    def check_export(self) -> None:
        """Raises a ValueError if a SavedModel cannot hold what the adaptation gives."""


def adapt(
    adaptation: Adaptation,
    context: TaskContext,
    inner_steps: int | tf.Tensor,
    *,
    observe: Callable[[list], Any] | None = None,
    rematerialize: bool = False,
) -> Adapted:
    """Adapts to the support set of one task.

    Args:
        adaptation: what moves the weights.
        context: the task.
        inner_steps: Python int, or an int32 scalar tensor (then a `while_loop`).
        observe: None, or a function of a list of weights to a tensor or a structure of tensors,
            evaluated before the first step and after each.
        rematerialize: recompute each step in the backward pass instead of keeping its tensors.
    """
    network = context.network
    features = known_features.support_features(
        network, context.parameters.network, context.state.network, context.support
    )
    if features is not None:
        context = context.replaced(network=network.knowing(features))
    context = context.replaced(given=adaptation.prepare(context))
    start = adaptation.start(context)
    # A loop and a rematerialised step must be handed every tensor through which derivatives
    # flow. Python floats stay outside: as tensors they would be float32.
    sources = (context.parameters, context.given, features.leaves if features else [])
    leaves = tf.nest.flatten(sources)

    def step(index, carry, tensors):
        remaining = iter(tensors)
        values = [next(remaining) if tf.is_tensor(leaf) else leaf for leaf in leaves]
        parameters, given, known = tf.nest.pack_sequence_as(sources, values)
        within = context.replaced(parameters=parameters, given=given)
        if features is not None:
            again = features.replaced(known, weights=network.trunk.weights_of(parameters.network))
            within = within.replaced(network=network.knowing(again))
        carry, loss = adaptation.step(within, index, tf.nest.pack_sequence_as(start, carry))
        return tf.nest.flatten(carry), loss

    def weights_after(done, carry):
        return adaptation.finish(context, done, tf.nest.pack_sequence_as(start, carry))

    carry, step_losses, records = inner.run_steps(
        step,
        tf.nest.flatten(start),
        inner_steps,
        constants=[leaf for leaf in leaves if tf.is_tensor(leaf)],
        record=None if observe is None else lambda *at: observe(weights_after(*at)),
        unroll=context.training and not context.first_order,
        rematerialize=rematerialize,
    )
    weights = weights_after(inner_steps, carry)
    losses = _support_losses(adaptation, context, step_losses, start, weights)
    state = adaptation.end(context, tf.nest.pack_sequence_as(start, carry))
    return Adapted(weights, losses, state, records, step_losses)


def _support_losses(adaptation, context, step_losses, start, weights):
    """Losses [n + 1] of the whole support set; those of the steps serve where they are the same."""
    last = [adaptation.support_loss(context, weights)]
    if adaptation.sees_whole_set:
        return tf.concat([step_losses, last], axis=0)
    # A step's loss is that of a minibatch: only both ends are of the whole support set.
    first = [adaptation.support_loss(context, adaptation.finish(context, 0, start))]
    return tf.concat([first, step_losses[1:], last], axis=0)[: tf.size(step_losses) + 1]
