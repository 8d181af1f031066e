"""Adaptation to several weights, as pure functions: samples of what a task may be.

A set of n weights is a list as any other, in which each weight that adapts has a leading axis n.
"""

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.pure_functions import Adaptation, mean_over_tasks
from tfmeta.parallel import map_tasks

# Dropout folds the inner step into a task's key; the draw of weights takes a number that no step
# has.
_DRAW = 2**31 - 1


class WeightSamples:
    """Mixin before `MetaLearner`: its functions, mapped over the samples of the weights.

    What it uses beside what `PureFunctions` does: `samples` (n), `likelihood`.
    """

    breaks_constraints = "samples of weights are drawn without regard to them"

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
            start,
            parameters,
            support,
            inner_steps,
            state,
            key,
            rate_scale,
            observe=observe,
            training=training,
        )

    def sample_outputs(
        self, weights, state, query_inputs, support=None, normalization=None, query_weights=None
    ):
        """Raw outputs [n, Q, ...] of each of n weights; arguments as `query_outputs`."""
        answer = super().query_outputs

        def one(sample):
            outputs = answer(sample, state, query_inputs, support, normalization, query_weights)
            return outputs, inner.masks_of(outputs)

        outputs, masks = self._map_samples(one, weights)
        return inner.with_mask(outputs, *masks)

    def query_outputs(self, weights, *arguments, **options):
        """Raw outputs [Q, ...] of the mean prediction; arguments as of `PureFunctions`."""
        return self.likelihood.combined(self.sample_outputs(weights, *arguments, **options))

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
        """(outputs [n, Q, ...] with their mask, the network's own losses [n], new state)."""
        query, before = task.query, self._network_state(state)

        def one(sample):
            outputs, network_state, losses = self._answers(
                sample, before, query.inputs, task.support, self.normalization, query.weights
            )
            own = inner.with_own_losses(tf.zeros([], outputs.dtype), losses)
            # Untouched state is a constant, which a map cannot return as it is.
            state = [tf.identity(value) for value in network_state]
            return outputs, inner.masks_of(outputs), own, state

        outputs, masks, own, states = self._map_samples(one, weights)
        return inner.with_mask(outputs, *masks), own, mean_over_tasks(states, before)

    def _query(self, weights, state, task):
        outputs, own, network_state = self._query_samples(weights, state, task)
        combined = self.likelihood.combined(outputs)
        loss = self.loss_function(task.query.targets, combined, task.query.weights)
        return combined, loss + tf.reduce_mean(own), network_state

    def _set_log_likelihood(self, outputs, examples):
        """Mean over a set of log p(target | output), for each sample [n]."""
        values = self.likelihood.log_density(examples.targets, outputs)
        if examples.weights is not None and examples.weights.shape.rank != 1:
            raise ValueError(
                f"{type(self).__name__} weights the likelihoods of whole examples. Received: "
                f"weights of shape {tuple(examples.weights.shape)} a task. Pass sample_weight "
                "[tasks, queries] and support weights [tasks, examples]."
            )
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
