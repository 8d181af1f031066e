"""What a learner answers for a batch of tasks: adapted weights, curves, samples of one task."""

from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import batch_checks, checks, task_keys
from tfmeta.learners.adapted_model import AdaptedModel
from tfmeta.learners.arrays import batch_tensors, support_examples
from tfmeta.learners.meta_steps import batch_gradient, compiled, map_adapted, task_count
from tfmeta.learners.task_weights import split_weights
from tfmeta.tasks.task import Examples, Task, unpack_tasks


def query_answers(learner, inputs) -> tf.Tensor:
    """Raw outputs [T, Q, ...] of the queries of each task; arguments as of `MetaLearner.call`."""
    task = unpack_tasks(*batch_tensors(inputs))
    batch_checks.check_tasks(learner, task)

    def answer(adapted, one):
        query = one.query
        return learner.query_outputs(
            adapted.weights,
            adapted.state,
            query.inputs,
            one.support,
            query_weights=query.weights,
        )

    return map_adapted(learner, task, answer)


def task_weights(
    learner, support_x: Any, support_y: Any, inner_steps=None, support_weights: Any = None
) -> list[tf.Tensor]:
    """Adapted weights of each task; arguments as of `MetaLearner.task_weights`."""
    steps = checked_steps(learner, inner_steps)
    support = support_examples(support_x, support_y, support_weights)
    batch_checks.check_tasks(learner, Task(support, Examples(None)))
    return compiled(learner, "task_weights", _task_weights, steps)(support)


def _task_weights(learner, steps, support):
    task = Task(support, Examples(None))
    return map_adapted(learner, task, lambda adapted, one: adapted.weights, inner_steps=steps)


def meta_gradient(learner, x: Any, y: Any, sample_weight: Any = None):
    """The meta-gradient of a batch of tasks; arguments as of `MetaLearner.meta_gradient`."""
    task = unpack_tasks(*batch_tensors(x, y, sample_weight))
    batch_checks.check_tasks(learner, task)
    batch_checks.check_query_targets(task)
    return compiled(learner, "meta_gradient", batch_meta_gradient)(task)


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
    first = tf.constant(first_task, tf.int64)
    curve = compiled(learner, "curve", _curve, steps, normalization)
    (outputs, *masks), losses = curve(task, first)
    return inner.with_mask(outputs, *masks), losses


def _curve(learner, steps, mode, task, first_task):
    def observer(parameters, state, one):
        inputs, query_weights = one.query.inputs, one.query.weights
        network = learner.task_network.knowing_queries(
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
