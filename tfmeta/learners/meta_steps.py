"""The learner's functions over a batch of tasks: meta-step, test step, adaptation."""

import functools
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import batch_checks, checks, replicas, task_keys, ways
from tfmeta.learners.core.state import mean_over_tasks
from tfmeta.learners.diverged import SKIP, mean_over_finite, without_diverged
from tfmeta.learners.guards import GuardedFunction, shape_assertions
from tfmeta.learners.task_weights import mean_of_tasks, split_weights
from tfmeta.parallel import chain_tasks, map_tasks
from tfmeta.tasks.task import Examples, Task, unpack_tasks


class BatchGradient(NamedTuple):
    """What a batch of tasks contributes to a meta-step.

    Attributes:
        gradients: list of means over tasks, order of `parameter_variables`.
        outputs: query outputs [T, Q, ...].
        state: list of tensors, order of `state_variables`.
        logs: dict of scalars.
        tasks: (gradients, logs) of each task, every tensor [T, ...].
    """

    gradients: list
    outputs: tf.Tensor
    state: list
    logs: dict
    tasks: Any


class MetaSteps:
    """Mixin: maps the pure functions over tasks."""

    def compute_meta_gradient(self, data, task_index=0):
        """The meta-gradient of one batch, without side effects on weights or state.

        For own training loops, under `tf.distribute.Strategy.run` too; metrics are updated.

        Args:
            data: a batch as a task stream gives it.
            task_index: index of the batch's first task among all that training sees, int64 [];
                dropout masks, minibatches and noise are functions of (seed, task index).

        Returns:
            Gradients (list, mean over tasks, not clipped), new state (list), and logs (dict of
            scalars: "loss", ...).
        """
        task, weight = split_weights(unpacked(data))
        found = self.batch_gradient(task, task_index, weight)
        logs = {**found.logs, **self._query_metrics(task, found.outputs, weight)}
        return found.gradients, found.state, logs

    def batch_gradient(self, task, task_index, weight=None) -> BatchGradient:
        """What a batch of tasks contributes to a meta-step.

        Args:
            task: a `Task` of T tasks.
            task_index: index of the first of them, int64 [].
            weight: of the tasks in the mean, [T] or None.
        """
        batch_checks.check_tasks(self, task)
        batch_checks.check_query_targets(task)
        with tf.control_dependencies(self._assertions(task, self.training_ways)):
            return self._batch_gradient(task, task_index, weight)

    def _map_adapted(self, task, function, keys=None):
        """Maps `function(adapted weights, state, task)` over tasks."""
        parameters, state = self._values()

        def one(args):
            task, key = args
            found = self.adapt_weights(parameters, task.support, self.test_inner_steps, state, key)
            return function(found.weights, found.state, task)

        return self._map_adaptation(one, task, keys)

    def _batch_gradient(self, task, task_index, weight=None) -> BatchGradient:
        parameters, state = self._values()
        tasks = (task, self.task_keys(task_index, task_count(task)))

        def one(args, state):
            result = self.task_gradient(parameters, args[0], state, args[1])
            outputs = result.query_outputs
            masks = inner.masks_of(outputs)
            if self.diverged_tasks == SKIP:
                result = without_diverged(result, state)
            return (result.gradient, result.query_outputs, masks, result.logs), result.state

        if self.chains_state:
            results, new_state = chain_tasks(one, tasks, state)
        elif self.updates_state:
            results, stacked = self._map(lambda args: one(args, state), tasks)
            new_state = mean_over_tasks(stacked, state, weight)
        else:
            results, new_state = self._map(lambda args: one(args, state)[0], tasks), state
        gradients, outputs, masks, logs = results
        means = [mean_of_tasks(value, weight) for value in gradients]
        if self.diverged_tasks == SKIP:
            mean_logs = mean_over_finite(logs, weight)
        else:
            mean_logs = {name: mean_of_tasks(value, weight) for name, value in logs.items()}
        outputs = inner.with_mask(outputs, *masks)
        return BatchGradient(means, outputs, new_state, mean_logs, (gradients, logs))

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
            found = self._batch_gradient(task, 0, weight)
        return found.gradients, found.outputs

    def _curve(self, steps, mode, task, first_task):
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

        keys = self.task_keys(first_task, task_count(task), task_keys.EVALUATION)
        return self._map_adaptation(one, task, keys)

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
        keys = task_keys.answer_keys(self.seed, task_count(task)) if keys is None else keys
        with tf.control_dependencies(self._assertions(task, self.ways)):
            return self._map(function, (task, keys))

    def _assertions(self, task, ways):
        return [*shape_assertions(task), *checks.label_assertions(self, task, ways)]

    def _map(self, function, tasks):
        options = {"parallel": self._way(tasks[0]), "tasks_per_pass": self.tasks_per_pass}
        return replicas.with_a_task(lambda every: map_tasks(function, every, **options), tasks)

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

    def task_keys(self, first, count, purpose=task_keys.TRAINING):
        """Keys [T, 2] of the tasks first, first + 1, ...; see `tfmeta.learners.task_keys`."""
        return task_keys.task_keys(self.seed, purpose, first, count)

    def _compiled(self, name, function, *static):
        checks.check_compiled(self)
        key = (name, *static)
        if key not in self._functions:
            self._functions[key] = GuardedFunction(self, functools.partial(function, *static))
        return self._functions[key]


def unpacked(data):
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


def task_count(task):
    static = task.support.targets.shape[0]
    return tf.shape(task.support.targets)[0] if static is None else static
