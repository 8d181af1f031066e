"""Adaptation by gradient steps, and the parts that it is put together from."""

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners import checks
from tfmeta.learners.core.adaptation import Adaptation, TaskContext
from tfmeta.learners.core.parts import Part
from tfmeta.learners.core.sampled_network import SampledNetwork
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.tasks.task import Examples


class Descent(NamedTuple):
    """The carry between gradient steps.

    Attributes:
        values: list of tensors, of the weights that adapt.
        slots: flat list of tensors, of the inner optimiser.
    """

    values: list
    slots: list


class Initialization(Part):
    """Gradient steps begin at the initialisation."""

    only_adapted = True

    def start(self, context: TaskContext) -> list:
        """Values of the weights that adapt before the first step."""
        return context.network.chosen(context.parameters.network)


class Rates(Part):
    """A rate a weight that adapts and step."""

    @property
    def inner_rate(self) -> Any:
        """For metadata: a number, or a dict from patterns; None where there is none."""
        return None

    def prepare(self, context: TaskContext) -> Any:
        """What is computed once a task, before the first step."""
        raise NotImplementedError(f"{type(self).__name__} must define prepare.")

    def at_step(self, prepared: Any, index: tf.Tensor, values: list, gradients: list) -> list:
        """The rates of inner step `index`: floats, or tensors that broadcast with the weights."""
        return prepared


@dataclasses.dataclass(frozen=True)
class GivenRates(Rates):
    """Rates that are given, or that start as given, for all weights that adapt or by patterns.

    Attributes:
        rate: a finite number, 0 or more, or a dict from patterns on paths to such numbers; the
            first pattern that matches counts.
    """

    rate: Any

    @property
    def inner_rate(self) -> Any:
        """The rate, for metadata."""
        return self.rate

    def check_network(self, network: TaskNetwork) -> None:
        """Raises a ValueError for a rate out of its range, or a pattern that matches nothing."""
        checks.check_rates(self.of(network))

    def of(self, network: TaskNetwork) -> list:
        """The rate of each weight that adapts."""
        return inner.by_pattern(network.adapted_paths, self.rate, argument="inner_rate")


@dataclasses.dataclass(frozen=True)
class FixedRates(GivenRates):
    """One inner rate for all weights that adapt, or a dict from patterns on paths to rates.

    Attributes:
        rate: a finite number, 0 or more, or the dict; the first pattern that matches counts.
    """

    only_adapted = True

    def prepare(self, context: TaskContext) -> list:
        """The rates, scaled as the request asks."""
        return [rate * context.rate_scale for rate in self.of(context.network)]


class WholeSet(Part):
    """Every inner step sees the whole support set."""

    only_adapted = True

    def at_step(self, context: TaskContext, index: tf.Tensor) -> Examples:
        """The examples of inner step `index`."""
        return context.support


class FreshSlots(Part):
    """The inner optimiser starts anew with every task."""

    only_adapted = True

    def start(self, context: TaskContext, optimizer: Any, values: list) -> list:
        """The optimiser's slots before the first step."""
        return optimizer.init(values)

    def end(self, context: TaskContext, slots: list) -> Any:
        """The state that the task leaves."""
        return context.state


class PlainGradient(Part):
    """The inner optimiser gets the gradient itself."""

    only_adapted = True

    def prepare(self, context: TaskContext) -> Any:
        """What is computed once a task."""
        return ()

    def directions(
        self, context: TaskContext, prepared: Any, values: list, gradients: list
    ) -> list:
        """What the optimiser gets in place of the gradients."""
        return gradients


class SharedLayers(Part):
    """Every inner step runs the same network."""

    only_adapted = True

    def at_step(self, context: TaskContext, index: int | tf.Tensor) -> tuple[list, list]:
        """All weights before adaptation and the network's state, as step `index` has them."""
        return list(context.parameters.network), context.state.network


@dataclasses.dataclass(frozen=True)
class Sampling(Part):
    """Adaptation gives n weights: samples of what a task may be.

    Attributes:
        samples: n.
        noise: standard deviation of a regression's targets around the output, in their unit.
    """

    samples: int
    noise: float
    only_adapted = True


class Prepared(NamedTuple):
    """What was computed once a task.

    Attributes:
        rates: by the part `rates`.
        direction: by the part `direction`.
    """

    rates: Any
    direction: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientDescent(Adaptation):
    """n steps of an inner optimiser on the support loss.

    Attributes:
        rates: a rate a weight and step (`FixedRates`).
        optimizer: `inner.SGD`, `inner.Adam`, or any object with their `init` and `update`.
        initial: where the steps begin (`Initialization`).
        examples: what each step sees of the support set (`WholeSet`).
        objective: None for the support loss, or a part with `value(context, loss, values)`, the
            objective that is descended in its place.
        direction: what the optimiser gets in place of the gradient (`PlainGradient`).
        slots: where the optimiser's slots come from and go to (`FreshSlots`).
        layers: the weights and state around the weights that adapt (`SharedLayers`).
        sampling: None, or `Sampling` where adaptation gives several weights.
    """

    rates: Any
    optimizer: Any = dataclasses.field(default_factory=inner.SGD)
    initial: Any = dataclasses.field(default_factory=Initialization)
    examples: Any = dataclasses.field(default_factory=WholeSet)
    objective: Any = None
    direction: Any = dataclasses.field(default_factory=PlainGradient)
    slots: Any = dataclasses.field(default_factory=FreshSlots)
    layers: Any = dataclasses.field(default_factory=SharedLayers)
    sampling: Any = None
    only_adapted = True

    def task_network(self, **attributes: Any) -> TaskNetwork:
        """The network that the adaptation works with, of several weights where it samples."""
        if self.sampling is None:
            return TaskNetwork(**attributes)
        sampling = self.sampling
        return SampledNetwork(samples=sampling.samples, noise=sampling.noise, **attributes)

    def check_network(self, network: TaskNetwork) -> None:
        """Raises a ValueError where samples would break constraints of the weights that adapt."""
        if self.sampling is not None:
            reason = "samples of weights are drawn without regard to them"
            checks.check_constraints(network.projection.paths, reason)

    @property
    def inner_rate(self) -> Any:
        """Number or dict of the rates; None where there is none."""
        return self.rates.inner_rate

    @property
    def sees_whole_set(self) -> bool:
        """Whether every step sees the whole support set."""
        return isinstance(self.examples, WholeSet)

    def prepare(self, context: TaskContext) -> Prepared:
        """Rates and directions, as far as they are the same in all steps."""
        return Prepared(self.rates.prepare(context), self.direction.prepare(context))

    def start(self, context: TaskContext) -> Descent:
        """Values of the weights that adapt, and fresh or carried slots."""
        values = self.initial.start(context)
        return Descent(values, self.slots.start(context, self.optimizer, values))

    def step(
        self, context: TaskContext, index: tf.Tensor, carry: Descent
    ) -> tuple[Descent, tf.Tensor]:
        """One step: gradient, direction, update."""
        weights, network_state = self.layers.at_step(context, index)
        objective = self.objective
        loss, gradients = context.network.gradient(
            carry.values,
            weights,
            network_state,
            self.examples.at_step(context, index),
            context.step_key(index),
            objective and (lambda loss, values: objective.value(context, loss, values)),
        )
        if context.first_order:
            gradients = [tf.stop_gradient(value) for value in gradients]
        given = context.given
        gradients = self.direction.directions(context, given.direction, carry.values, gradients)
        rates = self.rates.at_step(given.rates, index, carry.values, gradients)
        values, slots = self.optimizer.update(carry.values, gradients, carry.slots, rates)
        values = context.network.projection(values, held=context.first_order)
        return Descent(values, slots), loss

    def finish(self, context: TaskContext, done: int | tf.Tensor, carry: Descent) -> list:
        """All weights, with the values reached; layers of a step are those of the last one."""
        weights, _ = self.layers.at_step(context, tf.maximum(done - 1, 0))
        return context.network.filled(weights, carry.values)

    def end(self, context: TaskContext, carry: Descent) -> Any:
        """The state that the task leaves."""
        return self.slots.end(context, carry.slots)


def descent(inner_rate: Any, inner_optimizer: Any = "sgd", **parts: Any) -> GradientDescent:
    """Gradient descent by the arguments that `MAML` and the learners like it take.

    Args:
        inner_rate: of all weights that adapt, or a dict from patterns on paths to rates.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **parts: further fields of `GradientDescent`.
    """
    optimizer = optimizers.get(inner_optimizer)
    return GradientDescent(rates=FixedRates(inner_rate), optimizer=optimizer, **parts)
