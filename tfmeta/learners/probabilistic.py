"""`ProbabilisticLearner`: adaptation gives several weights, samples of what a task may be."""

from typing import NamedTuple

import tensorflow as tf

from tfmeta.learners import checks
from tfmeta.learners.likelihood import Likelihood, log_mean_exp
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.pure_functions import Adaptation, mean_over_tasks, support_examples
from tfmeta.parallel import map_tasks
from tfmeta.tasks.task import Examples, Task, unpack_tasks

# Dropout folds the inner step into a task's key; the draw of weights takes a number that no step
# has.
_DRAW = 2**31 - 1


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


class ProbabilisticLearner(MetaLearner):
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
        """As `MetaLearner.compile`; the loss must be a likelihood (`likelihood.Likelihood`)."""
        super().compile(optimizer, loss, metrics, **options)
        self.likelihood = Likelihood.of(self.loss_function.loss, self.noise)

    def adapt_weights(
        self,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        observe=None,
        training=False,
        samples=None,
    ) -> Adaptation:
        """As `PureFunctions.adapt_weights`, to n weights.

        Args:
            parameters: as there, and so on.
            samples: n; None: `self.samples`.
        """
        count = self.samples if samples is None else samples
        start = self._starts(parameters, support, state, key, count)
        return self._descend(
            start, parameters, support, inner_steps, state, key, rate_scale, observe, training
        )

    def sample_outputs(
        self, weights, state, query_inputs, support=None, normalization=None, query_weights=None
    ):
        """Raw outputs [n, Q, ...] of each of n weights; arguments as `query_outputs`."""
        answer = super().query_outputs
        return self._map_samples(
            lambda one: answer(one, state, query_inputs, support, normalization, query_weights),
            weights,
        )

    def query_outputs(self, weights, *arguments, **options):
        """Raw outputs [Q, ...] of the mean prediction; arguments as of `PureFunctions`."""
        return self.likelihood.combined(self.sample_outputs(weights, *arguments, **options))

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
        checks.check_tasks(self, Task(support, None))
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

    # What learners change.

    def _starts(self, parameters, support, state, key, samples):
        """What the weights that adapt descend from: a list of tensors [n, *shape]."""
        raise NotImplementedError(f"{type(self).__name__} must define _starts.")

    def _directions(self, particles, gradients):
        """What the inner optimiser descends, from each sample's gradient [n, *shape]."""
        return gradients

    # Steps of the above.

    def _map_samples(self, function, weights, *more):
        """Maps `function(one weights, ...)` over the samples' axis, that of `more` too."""
        adapted = [weights[index] for index in self._adapted]
        return map_tasks(
            lambda slices: function(self._filled(weights, slices[0]), *slices[1:]),
            (adapted, *more),
            parallel=self.parallel,
        )

    def _inner_gradient(self, index, current, weights, examples, network_state, key):
        """(mean loss, directions) of n current values of the weights that adapt."""
        gradient = super()._inner_gradient

        def one(arguments):
            position, sample = arguments
            # A key a sample, so that each drops units of its own.
            own = tf.random.experimental.stateless_fold_in(key, position) if self.dropout else key
            return gradient(index, sample, weights, examples, network_state, own)

        positions = tf.range(current[0].shape[0])
        losses, gradients = map_tasks(one, (positions, current), parallel=self.parallel)
        return tf.reduce_mean(losses), self._directions(current, gradients)

    def _support_losses(self, step_losses, weights, adapted, support, network_state):
        last = self._map_samples(lambda one: self._set_loss(one, network_state, support), adapted)
        return tf.concat([step_losses, [tf.reduce_mean(last)]], axis=0)

    def _query_samples(self, weights, state, task):
        """(outputs [n, Q, ...], the network's own losses [n], new network state)."""
        query = super()._query

        def one(sample):
            outputs, loss, network_state = query(sample, state, task)
            own = loss - self.loss_function(task.query.targets, outputs, task.query.weights)
            # Untouched state is a constant, which a map cannot return as it is.
            return outputs, own, [tf.identity(value) for value in network_state]

        outputs, own, states = self._map_samples(one, weights)
        return outputs, own, mean_over_tasks(states, self._network_state(state))

    def _query(self, weights, state, task):
        outputs, own, network_state = self._query_samples(weights, state, task)
        combined = self.likelihood.combined(outputs)
        loss = self.loss_function(task.query.targets, combined, task.query.weights)
        return combined, loss + tf.reduce_mean(own), network_state

    def _set_log_likelihood(self, outputs, examples):
        """Mean over a set of log p(target | output), for each sample [n]."""
        values = self.likelihood.log_density(examples.targets, outputs)
        if examples.weights is None:
            return tf.reduce_mean(values, axis=1)
        weights = tf.cast(examples.weights, values.dtype)
        return tf.math.divide_no_nan(tf.linalg.matvec(values, weights), tf.reduce_sum(weights))

    def _normal(self, key, samples):
        """Standard normal numbers [n, *shape] for each weight that adapts."""
        variables = [self.network.trainable_variables[index] for index in self._adapted]
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

    def _sampled_outputs(self, x, samples, inner_steps, seed):
        task = unpack_tasks(tf.nest.map_structure(tf.convert_to_tensor, x))
        checks.check_tasks(self, task)
        count = self.samples if samples is None else checks.check_samples(samples)
        function = self._compiled("sampled_outputs", self._outputs, self._steps(inner_steps), count)
        return function(task, self._keys(seed, task.support))

    def _keys(self, seed, support):
        count = support.targets.shape[0]
        if seed is None:
            return self.task_keys(0, count)
        first = tf.reshape(tf.convert_to_tensor(seed, tf.int32), [1, 2])
        return first + tf.stack([tf.zeros(count, tf.int32), tf.range(count)], axis=1)

    def _task_samples(self, steps, samples, support, keys):
        parameters, state = self._values()

        def one(arguments):
            task, key = arguments
            weights = self.adapt_weights(
                parameters, task.support, steps, state, key, samples=samples
            ).weights
            shared = [tf.repeat(weight[tf.newaxis], samples, axis=0) for weight in weights]
            return self._filled(shared, [weights[index] for index in self._adapted])

        task = Task(support, Examples(None))
        with tf.control_dependencies(checks.label_assertions(self, task)):
            return self._map(one, (task, keys))

    def _outputs(self, steps, samples, task, keys):
        parameters, state = self._values()

        def one(arguments):
            task, key = arguments
            found = self.adapt_weights(parameters, task.support, steps, state, key, samples=samples)
            return self.sample_outputs(found.weights, found.state, task.query.inputs, task.support)

        with tf.control_dependencies(checks.label_assertions(self, task)):
            return self._map(one, (task, keys))

    def get_config(self):
        return {
            **super().get_config(),
            "samples": self.samples,
            "noise": self.noise,
            "first_order": self.first_order,
        }
