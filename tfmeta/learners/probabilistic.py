"""`ProbabilisticLearner`: adaptation gives several weights, samples of what a task may be."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfmeta.learners import batch_checks, checks
from tfmeta.learners.arrays import batch_tensors, support_examples
from tfmeta.learners.likelihood import Likelihood, log_mean_exp
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.weight_samples import WeightSamples
from tfmeta.tasks.task import Examples, Task, unpack_tasks


class Predictive(NamedTuple):
    """What sampled weights say of the queries: probabilities, or a regression's outputs.

    Attributes:
        samples: [T, n, Q, ...].
        mean: [T, Q, ...], over the samples.
        std: [T, Q, ...], the samples' standard deviation; a regression's noise is not in it.
    """

    samples: tf.Tensor
    mean: tf.Tensor
    std: tf.Tensor


class ProbabilisticLearner(WeightSamples, MetaLearner):
    """A learner whose adaptation gives n weights: samples of a task's posterior.

    Every weight that adapts has a leading axis n after adaptation; the others are shared. Where
    a learner answers queries (`predict`, `evaluate`, `adapt`, the signature `adapt_and_predict`),
    the answer is the mean prediction of the n: the raw outputs' mean for a regression, the
    logits of the mean probabilities for a classifier.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        samples: n.
        noise: standard deviation of a regression's targets around the output, in their unit.
        first_order: whether to leave second derivatives out.
        **options: of `MetaLearner`.
    """

    def __init__(
        self,
        network,
        inner_rate=0.01,
        inner_steps=1,
        *,
        samples=10,
        noise=0.1,
        first_order=False,
        **options,
    ):
        super().__init__(network, inner_rate, inner_steps, **options)
        checks.check_samples(samples)
        if not noise > 0:
            raise ValueError(
                f"noise must be above 0. Received: {noise!r}. "
                "Pass the standard deviation of the targets around the network's output."
            )
        self.samples = samples
        self.noise = noise
        self.first_order = first_order
        self.second_order = not first_order
        self.likelihood = None

    @property
    def adapted_shapes(self):
        """Shape of each weight after adaptation: those that adapt with the samples' axis."""
        shapes = super().adapted_shapes
        return self._filled(shapes, [(self.samples, *shapes[i]) for i in self._adapted])

    def compile(self, optimizer="adam", loss=None, metrics=None, **options):
        """As `MetaLearner.compile`; the loss must be a likelihood (`likelihood.Likelihood`).

        Raises:
            ValueError: for a loss that is no likelihood, or is changed by label smoothing, by its
                reduction, by `loss_weights`, or by a `call` of its own.
        """
        super().compile(optimizer, loss, metrics, **options)
        self.likelihood = Likelihood.of(self.loss_function.loss, self.noise)
        checks.check_likelihood(type(self).__name__, self.loss_function)

    def task_samples(self, support_x, support_y, samples=None, *, inner_steps=None, seed=None):
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
        batch_checks.check_tasks(self, Task(support, None))
        count = self.samples if samples is None else checks.check_samples(samples)
        function = self._compiled(
            "task_samples", self._task_samples, self._steps(inner_steps), count
        )
        return function(support, self._keys(seed, support))

    def predictive(self, x, samples=None, *, inner_steps=None, seed=None) -> Predictive:
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

    def log_likelihood(self, x, y, samples=None, *, inner_steps=None, seed=None):
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

    def servable(self, normalization=None, output=None, **options):
        """As `MetaLearner.servable`, with the signature `adapt_and_sample`."""
        servable = super().servable(normalization, output, **options)

        def sample(parameters, support_inputs, support_targets, query_inputs, seed, state):
            support = Examples(support_inputs, support_targets)
            found = self.adapt_weights(parameters, support, self.test_inner_steps, state, seed)
            outputs = self.sample_outputs(
                found.weights, state, query_inputs, support, servable.normalization
            )
            return outputs, found.support_losses

        noise = self.noise if servable.kind == "regression" else None
        return dataclasses.replace(servable, sample=sample, samples=self.samples, noise=noise)

    def _sampled_outputs(self, x, samples, inner_steps, seed):
        task = unpack_tasks(*batch_tensors(x))
        batch_checks.check_tasks(self, task)
        count = self.samples if samples is None else checks.check_samples(samples)
        function = self._compiled("sampled_outputs", self._outputs, self._steps(inner_steps), count)
        return function(task, self._keys(seed, task.support))

    def _keys(self, seed, support):
        """Keys [T, 2] from the seed of the first task; None for the tasks' own."""
        count = support.targets.shape[0]
        if seed is None:
            return None
        first = tf.reshape(tf.convert_to_tensor(seed, tf.int32), [1, 2])
        return first + tf.stack([tf.zeros(count, tf.int32), tf.range(count)], axis=1)

    def _task_samples(self, steps, samples, support, keys):
        parameters, state = self._values()

        def one(arguments):
            task, key = arguments
            weights = self.adapt_weights(
                parameters, task.support, steps, state, key, samples=samples
            ).weights
            return [
                weight if index in self._adapted else tf.repeat(weight[tf.newaxis], samples, axis=0)
                for index, weight in enumerate(weights)
            ]

        return self._map_adaptation(one, Task(support, Examples(None)), keys)

    def _outputs(self, steps, samples, task, keys):
        parameters, state = self._values()

        def one(arguments):
            task, key = arguments
            found = self.adapt_weights(parameters, task.support, steps, state, key, samples=samples)
            return self.sample_outputs(found.weights, found.state, task.query.inputs, task.support)

        return self._map_adaptation(one, task, keys)

    def get_config(self):
        return {
            **super().get_config(),
            "samples": self.samples,
            "noise": self.noise,
            "first_order": self.first_order,
        }
