"""Keras' steps: a meta-step for `fit`, on one device or several, and a test step."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import finite_assertions
from tfmeta.learners import checks
from tfmeta.learners.batch import batch_checks, replicas, task_keys
from tfmeta.learners.batch.task_weights import (
    flat_queries,
    mean_of_tasks,
    split_weights,
    total_weight,
)
from tfmeta.learners.core.variables import assign_state, changed_groups
from tfmeta.learners.keras_model.diverged import finite_share, over_finite, times_finite
from tfmeta.learners.keras_model.meta_steps import (
    checked_batch_gradient,
    map_adapted,
    task_count,
    unpacked,
    values,
)


def train_step(learner, data):
    """One meta-step of a `MetaLearner`, for `fit`."""
    (gradients, state, logs, total), finite = _own_gradient(learner, data)
    with tf.control_dependencies(finite):
        learner.apply_meta_gradient(gradients, state)
        learner.trained_tasks.assign_add(total)
    return _results(learner, logs)


def replicated_train_step(learner, data):
    """One meta-step on all replicas of a learner's strategy, as on one device.

    Args:
        learner: a compiled `MetaLearner`.
        data: each replica's share of a batch, as a distributed iterator gives it.
    """
    checks.check_replicas(learner)
    strategy = learner.distribute_strategy

    def in_replica(data):
        found, finite = _own_gradient(learner, data)
        with tf.control_dependencies(finite):
            return tf.nest.map_structure(tf.identity, found)

    found = strategy.run(in_replica, (data,))
    gradients, changes, logs, total = replicas.mean_over_replicas(strategy, found)
    logs = over_finite(logs)
    state = replicas.changed(values(learner)[1], changes) if changes else []
    # That a replica lacks a finite task is fine as long as another has one.
    finite = finite_assertions(logs["loss"], gradients, learner.optimizer)
    with tf.control_dependencies(finite):
        learner.apply_meta_gradient(gradients, state)
        learner.trained_tasks.assign_add(total)
    return _results(learner, {**logs, **_metric_results(learner)})


def compute_meta_gradient(learner, data, task_index):
    """The meta-gradient of a batch; arguments as of `MetaLearner.compute_meta_gradient`."""
    task, weight = split_weights(unpacked(data))
    found = checked_batch_gradient(learner, task, task_index, weight)
    logs = {**found.logs, **query_metrics(learner, task, found.outputs, weight)}
    return found.gradients, found.state, logs


def apply_meta_gradient(learner, gradients, state) -> None:
    """Clips the meta-gradient, applies it, and assigns the new state.

    Args:
        learner: a compiled `MetaLearner`.
        gradients: list of tensors, order of `parameter_variables`.
        state: list of tensors, order of `state_variables`.
    """
    checks.check_one_replica()
    optimizer = learner.optimizer
    if learner.meta_gradient_clip is not None:
        clip = learner.meta_gradient_clip
        gradients = [tf.clip_by_value(value, -clip, clip) for value in gradients]
    if optimizer.loss_scale_factor is not None:  # The optimizer divides by it.
        gradients = [optimizer.scale_loss(value) for value in gradients]
    before = tf.convert_to_tensor(optimizer.iterations)
    optimizer.apply(gradients, learner.parameter_variables)
    if not changed_groups(learner):
        return
    # An optimizer that accumulates gradients makes one update of several batches.
    updates = 1
    if optimizer.gradient_accumulation_steps:
        updates = tf.convert_to_tensor(optimizer.iterations) - before
    assign_state(learner, state, updates)


def test_step(learner, data):
    """Adapts to each task of a batch and measures its query set, for `evaluate`."""
    task, weight = split_weights(unpacked(data))
    batch_checks.check_tasks(learner, task)
    batch_checks.check_query_targets(learner, task, evaluates=True)
    share = _own_share(task, weight)
    first = learner.evaluated_tasks + tf.cast(share.first, tf.int64)
    keys = learner.task_keys(first, task_count(task), task_keys.EVALUATION)

    def measured(adapted, one):
        outputs, loss = learner.query_loss(adapted.weights, adapted.state, one)
        return outputs, loss, inner.masks_of(outputs)

    outputs, losses, masks = map_adapted(learner, task, measured, keys)
    metrics = query_metrics(learner, task, inner.with_mask(outputs, *masks), weight)
    logs = {"loss": mean_of_tasks(losses, weight), **metrics}
    _track(learner, logs, share)

    def done():
        learner.evaluated_tasks.assign_add(tf.cast(share.total, tf.int64))
        results = logs if share.factor is None else {**logs, **_metric_results(learner)}
        return _results(learner, results)

    with tf.control_dependencies([losses]):
        return replicas.once(done)


def query_metrics(learner, task, outputs, weight=None) -> dict:
    """Updates the metrics given to `compile` and returns this batch's share of them."""
    metrics = learner._compile_metrics
    if metrics is None or task.query.targets is None:
        return {}
    targets, answers, weights = flat_queries(task, outputs, weight)
    if not metrics.built:
        metrics.build(_symbolic(targets), _symbolic(answers))
    if outputs.shape[1] == 0:
        return {}
    metrics.update_state(targets, answers, weights)
    return _metric_results(learner)


def build_metrics(learner, element_spec) -> None:
    """Makes the metrics' variables for batches of this spec."""
    _, targets, _ = keras.utils.unpack_x_y_sample_weight(element_spec)
    output_shape = getattr(learner.network, "output_shape", None)
    if learner._compile_metrics is None or learner._compile_metrics.built:
        return
    if targets is not None and isinstance(output_shape, tuple):
        # Metrics see all queries of a batch as one set.
        outputs = keras.KerasTensor((None, *output_shape[1:]))
        flat = keras.KerasTensor((None, *targets.shape[2:]), targets.dtype.name)
        learner._compile_metrics.build(flat, outputs)


def _own_gradient(learner, data):
    """What this replica's tasks contribute to a meta-step; metrics are updated.

    Returns:
        (gradients, state, logs, number of tasks of the whole batch), and what the use of these
        must depend on. Of several replicas the mean over them counts; state is what it changed
        by, and logs are of the tasks that are finite, times their share.
    """
    task, weight = split_weights(unpacked(data))
    share = _own_share(task, weight)
    first = learner.trained_tasks + tf.cast(share.first, tf.int64)
    found = checked_batch_gradient(learner, task, first, weight)
    logs = {**found.logs, **query_metrics(learner, task, found.outputs, weight)}
    _track(learner, logs, share)
    state = found.state if changed_groups(learner) else []
    if share.factor is not None:
        logs = times_finite(logs)
        state = replicas.changes(values(learner)[1], state) if state else []
    gradients, state, logs = replicas.weighted(share, (found.gradients, state, logs))
    finite = finite_assertions(logs["loss"], gradients, learner.optimizer, found.tasks, share.first)
    return (gradients, state, logs, tf.cast(share.total, tf.int64)), finite


def _metric_results(learner):
    metrics = learner._compile_metrics
    return {} if metrics is None or not metrics.built else dict(metrics.result())


def _trackers(learner):
    """Means over the tasks of an epoch, by the name of what they track among the logs."""
    return {"loss": learner._loss_tracker, **learner.further_trackers}


def _track(learner, logs, share):
    for name, tracker in _trackers(learner).items():
        if name in logs:
            value = logs[name]
            if share.factor is not None:  # A replica without a task has no loss.
                value = tf.where(share.factor > 0, value, tf.zeros_like(value))
            amount, finite = share.amount, finite_share(logs, name)
            if finite is not None:  # Nor has one whose tasks all diverged.
                value = tf.where(finite > 0, value, tf.zeros_like(value))
                amount *= tf.cast(finite, amount.dtype)
            tracker.update_state(value, sample_weight=amount)


def _results(learner, logs):
    """The logs, with the trackers' means so far."""
    trackers = _trackers(learner).items()
    return {**logs, **{n: tracker.result() for n, tracker in trackers if n in logs}}


def _symbolic(tensor):
    return keras.KerasTensor(tensor.shape, tensor.dtype.name)


def _own_share(task, weight):
    count = tf.shape(task.support.targets)[0]
    return replicas.own_share(count, total_weight(weight, count))
