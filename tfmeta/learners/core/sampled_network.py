"""The network of several weights: the functions of `TaskNetwork`, mapped over samples."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfmeta import inner
from tfmeta.inner.likelihood import Likelihood
from tfmeta.learners import checks
from tfmeta.learners.core import known_features
from tfmeta.learners.core.task_network import Answers, TaskNetwork
from tfmeta.learners.core.variables import mean_over_tasks
from tfmeta.parallel import map_tasks
from tfmeta.tasks.task import Examples, Task

# Dropout folds the index of the inner step into a task's key; the draw of weights folds in a
# number that no step has.
_DRAW = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class SampledNetwork(TaskNetwork):
    """A network of n weights: samples of what a task may be.

    A set of n weights is a list as any other, in which each weight that adapts has a leading axis
    n; the others are shared. Rates, masks and optimisers see the axis as one more axis of a
    weight. Losses are means over the samples, answers the mean prediction.

    Attributes:
        samples: n.
        noise: standard deviation of a regression's targets.
        likelihood: what the loss says about targets; None before `compile`.
    """

    samples: int = 1
    noise: float = 0.1
    likelihood: Any = None

    def with_losses(self, inner_loss, loss, learner: str) -> "SampledNetwork":
        """The same network with the losses given to `compile`; the loss must be a likelihood.

        Raises:
            ValueError: for a loss that is no likelihood, or is changed by label smoothing, by its
                reduction, by `loss_weights`, or by a `call` of its own.
        """
        likelihood = Likelihood.of(loss.loss, self.noise)
        checks.check_likelihood(learner, loss)
        return dataclasses.replace(self, inner_loss=inner_loss, loss=loss, likelihood=likelihood)

    def with_samples(self, samples: int | None) -> "SampledNetwork":
        """The same network with another number of samples; None: its own."""
        return self if samples is None else dataclasses.replace(self, samples=samples)

    @property
    def log_probabilities(self) -> bool:
        """A classifier's answers are logarithms of the samples' mean probabilities."""
        return True

    @property
    def adapted_shapes(self) -> list[tuple]:
        """Shape of every weight after adaptation, where it adapts with the samples' axis."""
        shapes = super().adapted_shapes
        return self.filled(shapes, [(self.samples, *shape) for shape in self.chosen(shapes)])

    def initial(self, weights) -> list:
        """Weights as `answers` takes them: the initialisation as one sample."""
        if not self._is_single(weights):
            return list(weights)
        return self.filled(weights, [weight[tf.newaxis] for weight in self.chosen(weights)])

    def single(self, weights) -> list:
        """The first sample of n weights."""
        return self.filled(weights, [weight[0] for weight in self.chosen(weights)])

    def set_loss(self, weights, network_state, examples: Examples, key=None) -> tf.Tensor:
        """The inner loss [], a mean over the samples."""
        single = super().set_loss
        if self._is_single(weights):
            return single(weights, network_state, examples, key)
        losses = self.map_samples(lambda one: single(one, network_state, examples), weights)
        return tf.reduce_mean(losses)

    def gradient(
        self, values, weights, network_state, examples, key=None, objective=None
    ) -> tuple[tf.Tensor, list]:
        """The mean loss, and the gradient of each sample's own loss [n, *shape]."""
        single = super().gradient

        def one(arguments):
            position, sample = arguments
            # A key a sample, so that each drops units of its own.
            own = None if key is None else tf.random.experimental.stateless_fold_in(key, position)
            return single(sample, weights, network_state, examples, own, objective)

        positions = tf.range(values[0].shape[0])
        losses, gradients = map_tasks(one, (positions, values), parallel=self.parallel)
        return tf.reduce_mean(losses), gradients

    def sample_outputs(
        self, weights, network_state, query_inputs, support, query_weights=None, mode=None
    ) -> tf.Tensor:
        """Raw outputs [n, Q, ...] of each of n weights; arguments as of `answers`."""
        given = (network_state, query_inputs, support, query_weights, mode)
        known: Any = known_features.knowing_queries(self, weights, *given)
        single = super(SampledNetwork, known).answers

        def one(sample):
            outputs, _, _ = single(sample, *given)
            return outputs, inner.masks_of(outputs)

        outputs, masks = self.map_samples(one, weights)
        return inner.with_mask(outputs, *masks)

    def answers(
        self, weights, network_state, query_inputs, support, query_weights=None, mode=None
    ) -> tuple[tf.Tensor, list, list]:
        """Raw outputs [Q, ...] of the mean prediction; the state stays, and no own losses."""
        outputs = self.sample_outputs(
            weights, network_state, query_inputs, support, query_weights, mode
        )
        return self.likelihood.combined(outputs), network_state, []

    def query_samples(
        self, weights, network_state, task: Task
    ) -> tuple[tf.Tensor, tf.Tensor, list]:
        """What each of n weights says about a task's queries.

        Returns:
            Outputs [n, Q, ...] with their mask, the network's own losses [n], and its next state.
        """
        query = task.query
        given = (network_state, query.inputs, task.support, query.weights)
        known: Any = known_features.knowing_queries(self, weights, *given)
        single = super(SampledNetwork, known).answers

        def one(sample):
            outputs, state, losses = single(sample, *given)
            own = inner.with_own_losses(tf.zeros([], outputs.dtype), losses)
            # Untouched state is a constant, which a map cannot return as it is.
            state = [tf.identity(value) for value in state]
            return outputs, inner.masks_of(outputs), own, state

        outputs, masks, own, states = self.map_samples(one, weights)
        return inner.with_mask(outputs, *masks), own, mean_over_tasks(states, network_state)

    def query(self, weights, network_state, task: Task) -> Answers:
        """The mean prediction of a task's queries, and its loss."""
        outputs, own, network_state = self.query_samples(weights, network_state, task)
        combined = self.likelihood.combined(outputs)
        loss = self.loss(task.query.targets, combined, task.query.weights)
        return Answers(combined, loss + tf.reduce_mean(own), network_state)

    def log_likelihood(self, outputs, examples: Examples) -> tf.Tensor:
        """Mean over a set of log p(target | output), for each sample [n]."""
        values = self.likelihood.log_density(examples.targets, outputs)
        if examples.weights is not None and examples.weights.shape.rank != 1:
            raise ValueError(
                "A learner that samples weights the likelihoods of whole examples. Received: "
                f"weights of shape {tuple(examples.weights.shape)} a task. Pass sample_weight "
                "[tasks, queries] and support weights [tasks, examples]."
            )
        if examples.weights is None:
            return tf.reduce_mean(values, axis=1)
        weights = tf.cast(examples.weights, values.dtype)
        return tf.math.divide_no_nan(tf.linalg.matvec(values, weights), tf.reduce_sum(weights))

    def normal(self, key, samples: int) -> list[tf.Tensor]:
        """Standard normal numbers [samples, *shape] for each weight that adapts."""
        variables = self.adapted_variables
        sizes = [variable.shape.num_elements() for variable in variables]
        # One draw for all: a vectorised map draws a task at a time.
        drawn = tf.random.stateless_normal(
            [samples, sum(sizes)],
            tf.random.experimental.stateless_fold_in(key, _DRAW),
            dtype=variables[0].dtype,
        )
        parts = tf.split(drawn, sizes, axis=1)
        return [
            tf.reshape(part, [samples, *variable.shape])
            for part, variable in zip(parts, variables, strict=True)
        ]

    def map_samples(self, function: Callable, weights, *more) -> Any:
        """Maps `function(one weights, ...)` over the samples' axis, of `more` too."""
        return map_tasks(
            lambda slices: function(self.filled(weights, slices[0]), *slices[1:]),
            (self.chosen(weights), *more),
            parallel=self.parallel,
        )

    def _is_single(self, weights):
        index = self.adapted[0]
        return weights[index].shape.rank == self.adapted_variables[0].shape.rank


def sampled(network: TaskNetwork) -> SampledNetwork:
    """The network of an adaptation that samples.

    Raises:
        TypeError: for the network of one set of weights.
    """
    if not isinstance(network, SampledNetwork):
        raise TypeError(
            "This part works with several weights a task. Received: an adaptation to one. Give "
            "tfmeta.parts.GradientDescent(sampling=tfmeta.parts.Sampling(samples, noise))."
        )
    return network
