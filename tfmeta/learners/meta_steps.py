"""The learner's functions over a batch of tasks: meta-step, test step, adaptation."""

import functools

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import finite_assertions
from tfmeta.learners import batch_checks, checks, ways
from tfmeta.learners.guards import GuardedFunction, shape_assertions
from tfmeta.learners.pure_functions import mean_over_tasks
from tfmeta.learners.task_weights import (
    flat_queries,
    mean_of_tasks,
    split_weights,
    total_weight,
)
from tfmeta.parallel import chain_tasks, map_tasks
from tfmeta.tasks.task import Examples, Task, unpack_tasks


class MetaSteps:
    """Mixin: maps the pure functions over tasks, and drives Keras' optimizer and metrics."""

    def compute_meta_gradient(self, data, task_index=0):
        """The meta-gradient of one batch, without side effects on weights or state.

        For own training loops, under `tf.distribute.Strategy.run` too; metrics are updated.

        Args:
            data: a batch as a task stream gives it.
            task_index: index of the batch's first task, int64 []; dropout masks and minibatches
                are functions of (seed, task index).

        Returns:
            Gradients (list, mean over tasks, not clipped), new state (list), and logs (dict of
            scalars: "loss", ...).
        """
        task, weight = split_weights(_unpacked(data))
        batch_checks.check_tasks(self, task)
        batch_checks.check_query_targets(task)
        with tf.control_dependencies(self._assertions(task, self.training_ways)):
            gradients, outputs, state, logs = self._batch_gradient(task, task_index, weight)
        return gradients, state, {**logs, **self._query_metrics(task, outputs, weight)}

    def apply_meta_gradient(self, gradients, state):
        """Clips the meta-gradient, applies it, and assigns the new state."""
        if self.meta_gradient_clip is not None:
            clip = self.meta_gradient_clip
            gradients = [tf.clip_by_value(value, -clip, clip) for value in gradients]
        self.optimizer.apply(gradients, self.parameter_variables)
        if self.updates_state:
            for variable, value in zip(self.state_variables, state, strict=True):
                if not inner.is_seed(variable):
                    variable.assign(value)

    def train_step(self, data):
        """One meta-step, for `fit`."""
        task = _unpacked(data)
        count = tf.shape(task.support.targets)[0]
        index = tf.cast(self.optimizer.iterations, tf.int64) * tf.cast(count, tf.int64)
        gradients, state, logs = self.compute_meta_gradient(data, index)
        with tf.control_dependencies(finite_assertions(logs["loss"], gradients, self.optimizer)):
            self.apply_meta_gradient(gradients, state)
        _, weight = split_weights(task)
        return self._logged(logs, total_weight(weight, count))

    def test_step(self, data):
        """Adapts to each task and measures its query set, for `evaluate`."""
        task, weight = split_weights(_unpacked(data))
        batch_checks.check_tasks(self, task)
        batch_checks.check_query_targets(task)

        def measured(weights, state, one):
            outputs, loss, _ = self._query(weights, state, one)
            return outputs, loss, inner.masks_of(outputs)

        outputs, losses, masks = self._map_adapted(task, measured)
        metrics = self._query_metrics(task, inner.with_mask(outputs, *masks), weight)
        logs = {"loss": mean_of_tasks(losses, weight), **metrics}
        return self._logged(logs, total_weight(weight, tf.shape(task.support.targets)[0]))

    def _map_adapted(self, task, function):
        """Maps `function(adapted weights, state, task)` over tasks."""
        parameters, state = self._values()

        def one(args):
            task, key = args
            found = self.adapt_weights(parameters, task.support, self.test_inner_steps, state, key)
            return function(found.weights, found.state, task)

        return self._map_adaptation(one, task)

    def _batch_gradient(self, task, task_index, weight=None):
        """(mean gradients, query outputs [T, Q, ...], new state, logs) of a batch of tasks."""
        parameters, state = self._values()
        tasks = (task, self.task_keys(task_index, _count(task)))

        def one(args, state):
            result = self.task_gradient(parameters, args[0], state, args[1])
            outputs = result.query_outputs
            return (result.gradient, outputs, inner.masks_of(outputs), result.logs), result.state

        if self.chains_state:
            results, new_state = chain_tasks(one, tasks, state)
        elif self.updates_state:
            results, stacked = self._map(lambda args: one(args, state), tasks)
            new_state = mean_over_tasks(stacked, state, weight)
        else:
            results, new_state = self._map(lambda args: one(args, state)[0], tasks), state
        gradients, outputs, masks, logs = results
        means = [mean_of_tasks(value, weight) for value in gradients]
        logs = {name: mean_of_tasks(value, weight) for name, value in logs.items()}
        return means, inner.with_mask(outputs, *masks), new_state, logs

    def _task_weights(self, steps, support):
        task = Task(support, Examples(None))
        parameters, state = self._values()

        def one(args):
            task, key = args
            return self.adapt_weights(parameters, task.support, steps, state, key).weights

        return self._map_adaptation(one, task)

    def _meta_gradient(self, task):
        task, weight = split_weights(task)
        with tf.control_dependencies(self._assertions(task, self.training_ways)):
            gradients, outputs, _, _ = self._batch_gradient(task, 0, weight)
        return gradients, outputs

    def _curve(self, steps, mode, task):
        parameters, state = self._values()

        def one(args):
            task, key = args

            def answer(weights):
                inputs, query_weights = task.query.inputs, task.query.weights
                outputs = self.query_outputs(
                    weights, state, inputs, task.support, mode, query_weights
                )
                return [outputs, *inner.masks_of(outputs)]

            adaptation = self.adapt_weights(
                parameters, task.support, steps, state, key, observe=answer
            )
            return adaptation.records, adaptation.support_losses

        return self._map_adaptation(one, task)

    def adapted_outputs(self, weights, state, query_inputs, support):
        """Raw outputs [Q, ...] of one task's queries, given weights that are adapted to it.

        Args:
            weights: list of tensors, as `adapt_weights` gives them.
            state: list of tensors, order of `state_variables`.
            query_inputs: [Q, ...] or dict.
            support: `Examples`, of what answers need of the support set.
        """
        return self.query_outputs(weights, state, query_inputs, support)

    def answer_adapted(self, weights, state, query_inputs, support):
        """As `adapted_outputs`, compiled: one trace for all tasks of a shape."""

        def answer(weights, state, query, support):
            return self.adapted_outputs(weights, state, query.inputs, support)

        function = self._compiled("adapted", answer)
        return function(weights, state, Examples(query_inputs), support)

    def fresh_metrics(self):
        """The metrics given to `compile`, without what they have counted."""
        return [
            type(metric).from_config(metric.get_config())
            if isinstance(metric, keras.metrics.Metric)
            else metric
            for metric in self._metrics_asked
        ]

    def _map_adaptation(self, function, task, keys=None):
        keys = self.task_keys(0, _count(task)) if keys is None else keys
        with tf.control_dependencies(self._assertions(task, self.ways)):
            return self._map(function, (task, keys))

    def _assertions(self, task, ways):
        return [*shape_assertions(task), *checks.label_assertions(self, task, ways)]

    def _map(self, function, tasks):
        return map_tasks(
            function, tasks, parallel=self._way(tasks[0]), tasks_per_pass=self.tasks_per_pass
        )

    def way_of(self, data) -> str:
        """How the tasks of a batch are computed: `parallel`, or what "auto" makes of their size.

        Args:
            data: a batch as a task stream gives it, or its `element_spec`.

        Returns:
            "vectorized", "sequential", or "auto": vectorised if that can be.
        """
        return self._way(unpack_tasks(*data))

    def has_tiny_tasks(self, data) -> bool:
        """Whether the tasks of a batch, or of its `element_spec`, are of few numbers."""
        return ways.are_tiny(self.network, ways.examples_of(unpack_tasks(*data)))

    def _way(self, task):
        if self.parallel != "auto" or self._pure.xla or not ways.has_cores_of_its_own():
            return self.parallel
        large = ways.are_large(self.network, ways.examples_of(task))
        return "sequential" if large else "auto"

    def _values(self):
        parameters = [tf.convert_to_tensor(variable) for variable in self.parameter_variables]
        return parameters, [tf.convert_to_tensor(variable) for variable in self.state_variables]

    def task_keys(self, first, count):
        """Keys [T, 2] of the tasks first, first + 1, ...: functions of (seed, task index)."""
        indices = tf.cast(first, tf.int64) + tf.range(tf.cast(count, tf.int64))
        # Both words carry the index, so that more than 2^31 tasks keep distinct keys.
        high = tf.cast(indices // 2**31, tf.int32) + tf.constant(self.seed, tf.int32) * 7919
        return tf.stack([high, tf.cast(indices % 2**31, tf.int32)], axis=1)

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
        return dict(metrics.result())

    def _logged(self, logs, count):
        self._loss_tracker.update_state(logs["loss"], sample_weight=tf.cast(count, tf.float32))
        return {**logs, "loss": self._loss_tracker.result()}

    def _compiled(self, name, function, *static):
        checks.check_compiled(self)
        key = (name, *static)
        if key not in self._functions:
            self._functions[key] = GuardedFunction(self, functools.partial(function, *static))
        return self._functions[key]


def _unpacked(data):
    """The `Task` of a batch as Keras gives it: numpy arrays where steps run eagerly."""
    return unpack_tasks(
        *(
            keras.tree.map_structure(_dense, part)
            for part in keras.utils.unpack_x_y_sample_weight(data)
        )
    )


def _dense(tensor):
    if isinstance(tensor, tf.RaggedTensor):
        raise ValueError(
            "Tasks of a batch must have as many examples as each other. Received: a ragged tensor "
            f"{tensor.shape}. Pad it (`to_tensor()`), with weights 0 for what is padded: "
            "((support_x, support_y, query_x, support_weights), query_y, query_weights)."
        )
    return None if tensor is None else tf.convert_to_tensor(tensor)


def _count(task):
    static = task.support.targets.shape[0]
    return tf.shape(task.support.targets)[0] if static is None else static


def _symbolic(tensor):
    return keras.KerasTensor(tensor.shape, tensor.dtype.name)
