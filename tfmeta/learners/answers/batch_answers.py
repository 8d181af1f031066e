"""What a learner answers for a batch of tasks: adapted weights, curves, samples of one task."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.answers import outlier_scores
from tfmeta.learners.answers.adapted_model import AdaptedModel
from tfmeta.learners.batch import any_ways, batch_checks, task_keys
from tfmeta.learners.batch.batches import batch_tensors, support_examples
from tfmeta.learners.batch.task_weights import split_weights
from tfmeta.learners.core import known_features
from tfmeta.learners.keras_model.meta_steps import batch_gradient, compiled, map_adapted, task_count
from tfmeta.tasks.task import Examples, Task, unpack_tasks


def query_answers(learner, inputs) -> tf.Tensor:
    """Raw outputs [T, Q, ...] of the queries of each task; arguments as of `MetaLearner.call`."""
    task = unpack_tasks(*batch_tensors(inputs))
    batch_checks.check_tasks(learner, task)

    return map_adapted(learner, task, functools.partial(_answered, learner))


def task_weights(
    learner, support_x: Any, support_y: Any, inner_steps=None, support_weights: Any = None
) -> list[tf.Tensor]:
    """Adapted weights of each task; arguments as of `MetaLearner.task_weights`."""
    steps = checked_steps(learner, inner_steps)
    support = support_examples(support_x, support_y, support_weights)
    batch_checks.check_tasks(learner, Task(support, Examples(None)))
    most = any_ways.ways_of(learner, support)
    return compiled(learner, "task_weights", _task_weights, steps, most, ways=most)(support)


def _task_weights(learner, steps, ways, support):
    task = Task(support, Examples(None))
    return map_adapted(
        learner, task, lambda adapted, one: adapted.weights, inner_steps=steps, ways=ways
    )


def wide_answers(learner, x, ways: int, batch_size: int | None = None) -> np.ndarray:
    """Raw outputs [T, Q, ways] of tasks with more classes than the network has outputs.

    Args:
        learner: a compiled `MetaLearner` that allows any number of ways.
        x: `(support_x, support_y, query_x)`, arrays with a leading axis T.
        ways: number of outputs.
        batch_size: tasks at a time; None: 32.
    """
    task = unpack_tasks(*batch_tensors(x))
    size = batch_size or 32
    function = compiled(learner, "answers", _wide_answers, ways, ways=ways)
    found = [
        function(
            keras.tree.map_structure(lambda a, k=k: None if a is None else a[k : k + size], task)
        )
        for k in range(0, int(task.support.targets.shape[0]), size)
    ]
    return np.concatenate([np.asarray(part) for part in found])


def _wide_answers(learner, ways, task):
    return map_adapted(learner, task, functools.partial(_answered, learner), ways=ways)


def _answered(learner, adapted, one):
    """Raw outputs [Q, ...] of a task's queries."""
    query = one.query
    return learner.query_outputs(
        adapted.weights, adapted.state, query.inputs, one.support, query_weights=query.weights
    )


def query_outlier_scores(learner, x, scores, inner_steps, sample_weight, first_task: int) -> Any:
    """Scores of a batch's queries; arguments as of `MetaLearner.outlier_scores`."""
    names = (scores,) if isinstance(scores, str) else tuple(scores)
    checks.check_compiled(learner)
    steps = checked_steps(learner, inner_steps)
    for name in names:
        outlier_scores.check_score(learner, name, steps)
    task, _ = split_weights(unpack_tasks(*batch_tensors(x, None, sample_weight)))
    batch_checks.check_tasks(learner, task)
    most = any_ways.ways_of(learner, task.support)
    function = compiled(learner, "outliers", _outlier_scores, names, steps, most, ways=most)
    found = function(task, tf.constant(first_task, tf.int64))
    return found[scores] if isinstance(scores, str) else found


def _outlier_scores(learner, names, steps, ways, task, first_task):
    def scored(adapted, one):
        return outlier_scores.query_scores(
            learner.task_network,
            names,
            adapted.weights,
            learner.network_state_of(adapted.state),
            one.query.inputs,
            one.support,
            _answered(learner, adapted, one),
            query_weights=one.query.weights,
        )

    keys = learner.task_keys(first_task, task_count(task), task_keys.EVALUATION)
    return map_adapted(learner, task, scored, keys, steps, ways=ways)


def meta_gradient(learner, x: Any, y: Any, sample_weight: Any = None):
    """The meta-gradient of a batch of tasks; arguments as of `MetaLearner.meta_gradient`."""
    task = unpack_tasks(*batch_tensors(x, y, sample_weight))
    batch_checks.check_tasks(learner, task)
    batch_checks.check_query_targets(learner, task)
    return compiled(learner, "meta_gradient", batch_meta_gradient, trains=True)(task)


def batch_meta_gradient(learner, task: Task) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Mean gradient over the tasks of a batch, and their query outputs [T, Q, ...]."""
    task, weight = split_weights(task)
    found = batch_gradient(learner, task, 0, weight)
    return found.gradients, found.outputs


def adaptation_curve(
    learner, x: Any, inner_steps, normalization, sample_weight: Any, first_task: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Query outputs after each step; arguments as of `MetaLearner.adaptation_curve`."""
    steps = checked_steps(learner, inner_steps)
    task, _ = split_weights(unpack_tasks(*batch_tensors(x, None, sample_weight)))
    batch_checks.check_tasks(learner, task)
    if normalization is not None:
        checks.check_options(normalization=normalization)
    if normalization == learner.task_network.normalization:
        normalization = None  # one trace, whether the learner's own mode is named or not
    first = tf.constant(first_task, tf.int64)
    most = any_ways.ways_of(learner, task.support)
    curve = compiled(learner, "curve", _curve, steps, normalization, most, ways=most)
    (outputs, *masks), losses = curve(task, first)
    return inner.with_mask(outputs, *masks), losses


def _curve(learner, steps, mode, ways, task, first_task):
    def observer(parameters, state, one):
        inputs, query_weights = one.query.inputs, one.query.weights
        network = known_features.knowing_queries(
            learner.task_network,
            learner.initial_weights(parameters),
            learner.network_state_of(state),
            inputs,
            one.support,
            query_weights,
            mode,
        )

        def answer(weights):
            outputs = learner.query_outputs(
                weights, state, inputs, one.support, mode, query_weights, network
            )
            return [outputs, *inner.masks_of(outputs)]

        return answer

    keys = learner.task_keys(first_task, task_count(task), task_keys.EVALUATION)
    return map_adapted(
        learner,
        task,
        lambda adapted, one: (adapted.records, adapted.support_losses),
        keys,
        steps,
        observe=observer,
        ways=ways,
    )


def adapt(learner, support_x: Any, support_y: Any, inner_steps: int | None = None) -> AdaptedModel:
    """The network adapted to one task; arguments as of `MetaLearner.adapt`."""
    support = support_examples(support_x, support_y)
    batch_checks.check_one_task(learner, support)
    many = keras.tree.map_structure(lambda t: None if t is None else t[tf.newaxis], support)
    weights = learner.task_weights(many.inputs, many.targets, inner_steps)
    return AdaptedModel(learner, [weight[0] for weight in weights], support)


def checked_steps(learner, inner_steps: int | None) -> int:
    """The number of inner steps of an answer; None: the learner's `test_inner_steps`."""
    steps = learner.test_inner_steps if inner_steps is None else inner_steps
    checks.check_options(inner_steps=steps)
    return steps
