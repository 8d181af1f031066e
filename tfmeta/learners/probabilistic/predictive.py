"""Predictions of learners whose adaptation gives several weights: samples of what a task may be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta.inner.likelihood import Likelihood, log_mean_exp
from tfmeta.learners import checks
from tfmeta.learners.answers.batch_answers import checked_steps
from tfmeta.learners.batch import batch_checks
from tfmeta.learners.batch.batches import batch_tensors, support_examples
from tfmeta.learners.core.variables import NamedGroups
from tfmeta.learners.keras_model.meta_steps import compiled, map_adapted
from tfmeta.tasks.task import Examples, Task, unpack_tasks


class Predictive(NamedTuple):
    """Predictions for the queries by sampled weights: probabilities, or outputs of a regression.

    Attributes:
        samples: [T, n, Q, ...].
        mean: [T, Q, ...], over the samples.
        std: [T, Q, ...], the samples' standard deviation; a regression's noise is not in it.
    """

    samples: tf.Tensor
    mean: tf.Tensor
    std: tf.Tensor


class PredictiveMethods:
    """Methods of a learner that samples, to stand before `MetaLearner` among its bases.

    Every weight that adapts has a leading axis n after adaptation; the others are shared. Where
    a learner answers queries (`predict`, `evaluate`, `adapt`, the signature `adapt_and_predict`),
    the answer is the mean prediction of the n: the mean of the raw outputs for a regression, the
    logits of the mean probabilities for a classifier.
    """

    task_network: Any  # `SampledNetwork`
    state_groups: NamedGroups

    @property
    def samples(self) -> int:
        """n, the number of weights that adaptation gives."""
        return self.task_network.samples

    @property
    def noise(self) -> float:
        """Standard deviation of a regression's targets around the output, in their unit."""
        return self.task_network.noise

    @property
    def likelihood(self) -> Likelihood:
        """p(target | output) of the loss; None before `compile`."""
        return self.task_network.likelihood

    def sample_outputs(
        self,
        weights: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        query_inputs: Any,
        support: Examples | None = None,
        normalization: str | None = None,
        query_weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Raw outputs [n, Q, ...] of each of n weights; arguments as of `query_outputs`."""
        network_state = self.state_groups.pack(state).network
        return self.task_network.sample_outputs(
            weights, network_state, query_inputs, support, query_weights, normalization
        )

    def task_samples(
        self,
        support_x: Any,
        support_y: Any,
        samples: int | None = None,
        *,
        inner_steps: int | None = None,
        seed: Any = None,
    ) -> list[tf.Tensor]:
        """Samples of each task's weights.

        Args:
            support_x: [T, S, ...] or a dict.
            support_y: [T, S, ...].
            samples: n; None: `self.samples`.
            inner_steps: None: `test_inner_steps`.
            seed: int32 [2], of the first task; task i has `seed + (0, i)`. None: as `predict`.

        Returns:
            List of tensors [T, n, *shape], order of `network.trainable_variables`.
        """
        support = support_examples(support_x, support_y)
        batch_checks.check_tasks(self, Task(support, Examples(None)))
        count = self.samples if samples is None else checks.check_samples(samples)
        function = compiled(
            self, "task_samples", _task_samples, checked_steps(self, inner_steps), count
        )
        return function(support, _keys(seed, support))

    def predictive(
        self,
        x: Any,
        samples: int | None = None,
        *,
        inner_steps: int | None = None,
        seed: Any = None,
    ) -> Predictive:
        """Predictions of sampled weights, their mean and their spread.

        Args:
            x: `(support_x, support_y, query_x)`, each with a leading axis T.
            samples: n; None: `self.samples`.
            inner_steps: None: `test_inner_steps`.
            seed: as of `task_samples`; the same seed gives the same samples.
        """
        outputs = self._sampled_outputs(x, samples, inner_steps, seed)
        predictions = self.likelihood.predictions(outputs)
        mean, variance = tf.nn.moments(predictions, axes=[1])
        return Predictive(predictions, mean, tf.sqrt(variance))

    def log_likelihood(
        self,
        x: Any,
        y: Any,
        samples: int | None = None,
        *,
        inner_steps: int | None = None,
        seed: Any = None,
    ) -> tf.Tensor:
        """log of the mean over samples of p(y | x, weights), for each query [T, Q].

        Args:
            x: `(support_x, support_y, query_x)`, each with a leading axis T.
            y: query targets [T, Q, ...].
            samples: n; None: `self.samples`.
            inner_steps: None: `test_inner_steps`.
            seed: as of `task_samples`.
        """
        outputs = self._sampled_outputs(x, samples, inner_steps, seed)
        targets = tf.unstack(tf.convert_to_tensor(y), num=outputs.shape[0])
        return tf.stack(
            [
                log_mean_exp(self.likelihood.log_density(task, output))
                for task, output in zip(targets, tf.unstack(outputs), strict=True)
            ]
        )

    def _sampled_outputs(self, x, samples, inner_steps, seed):
        task = unpack_tasks(*batch_tensors(x))
        batch_checks.check_tasks(self, task)
        count = self.samples if samples is None else checks.check_samples(samples)
        steps = checked_steps(self, inner_steps)
        function = compiled(self, "sampled_outputs", _outputs, steps, count)
        return function(task, _keys(seed, task.support))


def _keys(seed, support):
    """Keys [T, 2] from the seed of the first task; None for the tasks' own."""
    count = support.targets.shape[0]
    if seed is None:
        return None
    first = tf.reshape(tf.convert_to_tensor(seed, tf.int32), [1, 2])
    return first + tf.stack([tf.zeros(count, tf.int32), tf.range(count)], axis=1)


def _task_samples(learner, steps, samples, support, keys):
    def one(adapted, task):
        return [
            weight
            if index in learner.task_network.adapted
            else tf.repeat(weight[tf.newaxis], samples, axis=0)
            for index, weight in enumerate(adapted.weights)
        ]

    task = Task(support, Examples(None))
    return map_adapted(learner, task, one, keys, steps, samples=samples)


def _outputs(learner, steps, samples, task, keys):
    def one(adapted, task):
        return learner.sample_outputs(
            adapted.weights, adapted.state, task.query.inputs, task.support
        )

    return map_adapted(learner, task, one, keys, steps, samples=samples)
