"""Keras' steps: a meta-step for `fit`, on one device or several, and a test step."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import finite_assertions
from tfmeta.learners import batch_checks, checks, replicas, task_keys
from tfmeta.learners.meta_steps import task_count, unpacked
from tfmeta.learners.task_weights import (
    flat_queries,
    mean_of_tasks,
    split_weights,
    total_weight,
)


class KerasSteps:
    """Mixin before `keras.Model`: drives Keras' optimizer and metrics by `MetaSteps`."""

    def apply_meta_gradient(self, gradients, state):
        """Clips the meta-gradient, applies it, and assigns the new state.

        Args:
            gradients: list of tensors, order of `parameter_variables`.
            state: list of tensors, order of `state_variables`.

        Raises:
            ValueError: in the replica context of several replicas, where Keras' optimizers sum.
        """
        checks.check_one_replica()
        if self.meta_gradient_clip is not None:
            clip = self.meta_gradient_clip
            gradients = [tf.clip_by_value(value, -clip, clip) for value in gradients]
        if self.optimizer.loss_scale_factor is not None:  # The optimizer divides by it.
            gradients = [self.optimizer.scale_loss(value) for value in gradients]
        before = tf.convert_to_tensor(self.optimizer.iterations)
        self.optimizer.apply(gradients, self.parameter_variables)
        if not self.updates_state:
            return
        # An optimizer that accumulates gradients makes one update of several batches.
        updates = 1
        if self.optimizer.gradient_accumulation_steps:
            updates = tf.convert_to_tensor(self.optimizer.iterations) - before
        state = self.state_after_updates(state, updates)
        for variable, value in self.changed_state(state):
            if not inner.is_seed(variable):
                variable.assign(value)

    def train_step(self, data):
        """One meta-step, for `fit`."""
        (gradients, state, logs, total), finite = self._own_gradient(data)
        with tf.control_dependencies(finite):
            self.apply_meta_gradient(gradients, state)
            self.trained_tasks.assign_add(total)
        return self._results(logs)

    def replicated_train_step(self, data):
        """One meta-step on all replicas of the learner's strategy, as on one device.

        Args:
            data: each replica's share of a batch, as a distributed iterator gives it.
        """
        checks.check_replicas(self)
        strategy = self.distribute_strategy

        def in_replica(data):
            values, finite = self._own_gradient(data)
            with tf.control_dependencies(finite):
                return tf.nest.map_structure(tf.identity, values)

        found = strategy.run(in_replica, (data,))
        gradients, state, logs, total = replicas.mean_over_replicas(strategy, found)
        self.apply_meta_gradient(gradients, state)
        self.trained_tasks.assign_add(total)
        return self._results({**logs, **self._metric_results()})

    def _own_gradient(self, data):
        """What this replica's tasks contribute to a meta-step; metrics are updated.

        Returns:
            (gradients, state, logs, number of tasks of the whole batch), whose mean over replicas
            counts; and what the use of these must depend on.
        """
        task, weight = split_weights(unpacked(data))
        share = _own_share(task, weight)
        first = self.trained_tasks + tf.cast(share.first, tf.int64)
        found = self.batch_gradient(task, first, weight)
        logs = {**found.logs, **self._query_metrics(task, found.outputs, weight)}
        self._track(logs, share)
        state = found.state if self.updates_state else []
        gradients, state, logs = replicas.weighted(share, (found.gradients, state, logs))
        finite = finite_assertions(
            logs["loss"], gradients, self.optimizer, found.tasks, share.first
        )
        return (gradients, state, logs, tf.cast(share.total, tf.int64)), finite

    def test_step(self, data):
        """Adapts to each task and measures its query set, for `evaluate`."""
        task, weight = split_weights(unpacked(data))
        batch_checks.check_tasks(self, task)
        batch_checks.check_query_targets(task)
        share = _own_share(task, weight)
        first = self.evaluated_tasks + tf.cast(share.first, tf.int64)
        keys = self.task_keys(first, task_count(task), task_keys.EVALUATION)

        def measured(weights, state, one):
            outputs, loss = self.query_loss(weights, state, one)
            return outputs, loss, inner.masks_of(outputs)

        outputs, losses, masks = self._map_adapted(task, measured, keys)
        metrics = self._query_metrics(task, inner.with_mask(outputs, *masks), weight)
        logs = {"loss": mean_of_tasks(losses, weight), **metrics}
        self._track(logs, share)

        def done():
            self.evaluated_tasks.assign_add(tf.cast(share.total, tf.int64))
            results = logs if share.factor is None else {**logs, **self._metric_results()}
            return self._results(results)

        with tf.control_dependencies([losses]):
            return replicas.once(done)

    def _query_metrics(self, task, outputs, weight=None):
        """Updates the metrics given to `compile` and returns this batch's share of them."""
        metrics = self._compile_metrics
        if metrics is None or task.query.targets is None:
            return {}
        targets, answers, weights = flat_queries(task, outputs, weight)
        if not metrics.built:
            metrics.build(_symbolic(targets), _symbolic(answers))
        if outputs.shape[1] == 0:
            return {}
        metrics.update_state(targets, answers, weights)
        return self._metric_results()

    def _metric_results(self):
        metrics = self._compile_metrics
        return {} if metrics is None or not metrics.built else dict(metrics.result())

    @property
    def _trackers(self):
        """Means over the tasks of an epoch, by the name of what they track among the logs."""
        return {"loss": self._loss_tracker, **self._further_trackers}

    def _track(self, logs, share):
        for name, tracker in self._trackers.items():
            if name in logs:
                value = logs[name]
                if share.factor is not None:  # A replica without a task has no loss.
                    value = tf.where(share.factor > 0, value, tf.zeros_like(value))
                tracker.update_state(value, sample_weight=share.amount)

    def _results(self, logs):
        """The logs, with the trackers' means so far."""
        trackers = self._trackers.items()
        return {**logs, **{n: tracker.result() for n, tracker in trackers if n in logs}}


def _symbolic(tensor):
    return keras.KerasTensor(tensor.shape, tensor.dtype.name)


def _own_share(task, weight):
    count = tf.shape(task.support.targets)[0]
    return replicas.own_share(count, total_weight(weight, count))
