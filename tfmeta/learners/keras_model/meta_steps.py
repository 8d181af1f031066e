"""A learner's pure functions over a batch of tasks: the meta-gradient, and adaptation."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.batch import batch_checks, replicas, task_keys
from tfmeta.learners.batch.assertions import batch_assertions
from tfmeta.learners.batch.batches import plain_batch
from tfmeta.learners.batch.task_weights import mean_of_tasks
from tfmeta.learners.core.variables import changed_groups, mean_over_tasks
from tfmeta.learners.keras_model import execution
from tfmeta.learners.keras_model.diverged import (
    SKIP,
    as_not_finite,
    mean_over_finite,
    without_diverged,
)
from tfmeta.learners.keras_model.guards import GuardedFunction
from tfmeta.parallel import chain_tasks, map_tasks
from tfmeta.tasks.task import Task, unpack_tasks


class BatchGradient(NamedTuple):
    """What a batch of tasks contributes to a meta-step.

    Attributes:
        gradients: list of means over tasks, order of `parameter_variables`.
        outputs: query outputs [T, Q, ...].
        state: list of tensors, order of `state_variables`.
        logs: dict of scalars.
        tasks: structure of tensors [T, ...], not finite for the tasks that are not.
    """

    gradients: list
    outputs: tf.Tensor
    state: list
    logs: dict
    tasks: Any


def checked_batch_gradient(learner, task, task_index, weight=None) -> BatchGradient:
    """As `batch_gradient`, of tasks that are checked first."""
    batch_checks.check_tasks(learner, task)
    batch_checks.check_query_targets(learner, task)
    return batch_gradient(learner, task, task_index, weight)


def batch_gradient(learner, task, task_index, weight=None) -> BatchGradient:
    """What a batch of tasks contributes to a meta-step.

    Args:
        learner: a compiled `MetaLearner`.
        task: a `Task` of T tasks.
        task_index: index of the first of them, int64 [].
        weight: of the tasks in the mean, [T] or None.
    """
    assertions = batch_assertions(learner, task, learner.training_ways, trains=True)
    with tf.control_dependencies(assertions):
        return _batch_gradient(learner, task, task_index, weight)


def _batch_gradient(learner, task, task_index, weight) -> BatchGradient:
    parameters, state = values(learner)
    tasks = (task, learner.task_keys(task_index, task_count(task)))

    def one(args, state):
        result = learner.task_gradient(parameters, args[0], state, args[1])
        outputs = result.query_outputs
        masks = inner.masks_of(outputs)
        if learner.diverged_tasks == SKIP:
            result = without_diverged(result, state)
        return (result.gradient, result.query_outputs, masks, result.logs), result.state

    if learner.chains_state:
        results, new_state = chain_tasks(one, tasks, state)
    elif changed_groups(learner):
        results, stacked = _map(learner, lambda args: one(args, state), tasks)
        new_state = mean_over_tasks(stacked, state, weight)
    else:
        results, new_state = _map(learner, lambda args: one(args, state)[0], tasks), state
    gradients, outputs, masks, logs = results
    means = [mean_of_tasks(value, weight) for value in gradients]
    if learner.diverged_tasks == SKIP:
        mean_logs = mean_over_finite(logs, weight)
    else:
        mean_logs = {name: mean_of_tasks(value, weight) for name, value in logs.items()}
    outputs = inner.with_mask(outputs, *masks)
    skips = learner.diverged_tasks == SKIP
    of_tasks = (as_not_finite(logs),) if skips else (gradients, logs)
    return BatchGradient(means, outputs, new_state, mean_logs, of_tasks)


def map_adapted(
    learner,
    task: Task,
    function: Callable[..., Any],
    keys=None,
    inner_steps: int | None = None,
    **options,
):
    """Adapts to each task of a batch, and maps a function over what that gives.

    Args:
        learner: a compiled `MetaLearner`.
        task: a `Task` of T tasks.
        function: of (`Adapted`, `Task`) of one task to a structure of tensors.
        keys: int32 [T, 2]; None: the key of index 0 for every task.
        inner_steps: None: the learner's `test_inner_steps`.
        **options: of the learner's `adapt_weights`. `observe` is given as a function of
            (parameters, state before adaptation, `Task`) to the function of weights.

    Returns:
        Structure of tensors [T, ...].
    """
    keys = task_keys.answer_keys(learner.seed, task_count(task)) if keys is None else keys
    steps = learner.test_inner_steps if inner_steps is None else inner_steps
    observe = options.pop("observe", None)
    parameters, state = values(learner)

    def one(args):
        task, key = args
        if observe is not None:
            options["observe"] = observe(parameters, state, task)
        found = learner.adapt_weights(parameters, task.support, steps, state, key, **options)
        return function(found, task)

    most = options.get("ways") or learner.ways
    with tf.control_dependencies(batch_assertions(learner, task, most)):
        return _map(learner, one, (task, keys))


def values(learner) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The values of a learner's parameters and state."""
    parameters = [tf.convert_to_tensor(variable) for variable in learner.parameter_variables]
    return parameters, [tf.convert_to_tensor(variable) for variable in learner.state_variables]


def compiled(
    learner,
    name: str,
    function: Callable[..., Any],
    *static,
    ways: int | None = None,
    trains: bool = False,
) -> GuardedFunction:
    """A function of a learner, compiled once a name and static arguments.

    Args:
        learner: the `MetaLearner`, which keeps what is compiled until it is compiled anew.
        name: of the function.
        function: of the learner, the static arguments, and structures of tensors.
        *static: hashable arguments.
        ways: number of classes that labels tell apart; None: as in training.
        trains: whether the layers' own state moves by the queries, as in a meta-step.
    """
    checks.check_compiled(learner)
    key = (name, *static, ways)
    if key not in learner.compiled_functions:
        learner.compiled_functions[key] = GuardedFunction(
            learner, functools.partial(function, learner, *static), ways, trains=trains
        )
    return learner.compiled_functions[key]


def unpacked(data):
    """The `Task` of a batch as Keras gives it: numpy arrays where steps run eagerly."""
    data = plain_batch(data) if isinstance(data, Task) else data
    return unpack_tasks(
        *(
            keras.tree.map_structure(_dense, part)
            for part in keras.utils.unpack_x_y_sample_weight(data)
        )
    )


def task_count(task):
    """Number of tasks of a batch, a Python int where it is known."""
    static = task.support.targets.shape[0]
    return tf.shape(task.support.targets)[0] if static is None else static


def _map(learner, function, tasks):
    options = {
        "parallel": execution.execution_of(learner, tasks[0]),
        "tasks_per_pass": learner.tasks_per_pass,
    }
    return replicas.with_a_task(lambda every: map_tasks(function, every, **options), tasks)


def _dense(tensor):
    if isinstance(tensor, tf.RaggedTensor):
        raise ValueError(
            "Tasks of a batch must have as many examples as each other. Received: a ragged tensor "
            f"{tensor.shape}. Pad it (`to_tensor()`), with weights 0 for what is padded: "
            "((support_x, support_y, query_x, support_weights), query_y, query_weights)."
        )
    return None if tensor is None else tf.convert_to_tensor(tensor)
