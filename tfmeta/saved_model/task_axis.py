"""Several tasks in one request, each with a status: a bad task spoils no other's answer."""

import tensorflow as tf

from tfmeta.parallel.map_tasks import at_least_one_row
from tfmeta.saved_model.classes import (
    cut,
    gives_present_probabilities,
    number_of_ways,
    present_classes,
    with_classes,
)
from tfmeta.saved_model.guards import targets_agree
from tfmeta.saved_model.served_model import (
    adaptation_is_finite,
    predictions_are_finite,
)

OK = 0
SUPPORT_INPUTS_NOT_FINITE = 1
SUPPORT_TARGETS_NOT_FINITE = 2
SUPPORT_TARGETS_OUTSIDE = 3
QUERY_INPUTS_NOT_FINITE = 4
ADAPTATION_DIVERGED = 5
PREDICTIONS_DIVERGED = 6

STATUS_MEANINGS = {
    OK: "answered",
    SUPPORT_INPUTS_NOT_FINITE: "support_inputs are not finite numbers",
    SUPPORT_TARGETS_NOT_FINITE: "support_targets are not finite numbers",
    SUPPORT_TARGETS_OUTSIDE: "support_targets break their rule (labels in [0, ways), ...)",
    QUERY_INPUTS_NOT_FINITE: "query_inputs are not finite numbers",
    ADAPTATION_DIVERGED: "adaptation to the support set diverged",
    PREDICTIONS_DIVERGED: "the predictions for the query set are not finite numbers",
}


def map_tasks(model, servable, support, targets, query):
    """Adapts to and predicts each task by itself.

    Args:
        model: `ServedModel`.
        servable: its `Servable`.
        support: dict of tensors [T, S, ...].
        targets: dict of one tensor [T, S, ...].
        query: dict of tensors [T, Q, ...].

    Returns:
        dict of predictions, logits (for a classifier) [T, Q, ...], support_loss [T, n + 1] and
        status int32 [T]; zeros for a task whose status is not 0.
    """
    status = request_status(servable, support, targets, query)
    tasks = tf.size(status)
    # A list of no tasks has no shape to stack, so it becomes one of zeros, cut off at the end.
    elements = tf.nest.map_structure(at_least_one_row, (support, targets, query, status))
    shape = (None, *servable.output_shape)
    signature = {
        "predictions": tf.TensorSpec(shape, tf.float32),
        "support_loss": tf.TensorSpec((servable.inner_steps + 1,), tf.float32),
        "status": tf.TensorSpec((), tf.int32),
    }
    if servable.kind == "classification":
        signature["logits"] = signature["predictions"]
    if servable.outlier_score is not None:
        signature["outlier_score"] = tf.TensorSpec(shape[:-1], tf.float32)
    if gives_present_probabilities(servable):
        signature["present_probabilities"] = signature["predictions"]
    answers = tf.map_fn(
        lambda task: _answer(model, servable, *task),
        elements,
        fn_output_signature=signature,
    )
    answers = {name: answer[:tasks] for name, answer in answers.items()}
    if servable.max_ways is None:
        return answers
    present = present_classes(servable, targets["support_targets"], axes=1)
    ways = tf.where(answers["status"] == OK, number_of_ways(present), 0)
    # As many columns as the task with the most classes has; 1 at least, for tasks without status 0.
    return cut(answers, tf.reduce_max(tf.concat([[1], ways], axis=0)))


def request_status(servable, support, targets, query):
    """Status int32 [T] by the values that were sent; the first rule broken counts."""
    labels = targets["support_targets"]
    per_task = tf.range(1, tf.rank(labels))
    agree = targets_agree(
        labels, servable.target, servable.ways, per_task, ignored=servable.ignore_class
    )
    if servable.max_ways is not None:
        present = present_classes(servable, labels, axes=1)
        agree = tf.logical_and(agree, tf.reduce_any(present, axis=-1))
    checks = (
        (_finite(support), SUPPORT_INPUTS_NOT_FINITE),
        (_finite(targets), SUPPORT_TARGETS_NOT_FINITE),
        (agree, SUPPORT_TARGETS_OUTSIDE),
        (_finite(query), QUERY_INPUTS_NOT_FINITE),
    )
    status = tf.zeros_like(checks[0][0], tf.int32)
    for good, code in checks:
        status = tf.where(tf.logical_or(good, status != OK), status, code)
    return status


def _answer(model, servable, support, targets, query, status):
    # A bad task is answered for zeros, which is thrown away: a branch would cost every task more.
    good = tf.equal(status, OK)
    support, targets, query = _zeros_unless(good, (support, targets, query))
    weights, losses = model.adapt(support, targets, servable.inner_steps)
    predictions = model.predict(weights, query, support)
    if gives_present_probabilities(servable):
        present = present_classes(servable, targets["support_targets"])
        predictions = with_classes(servable, predictions, present)
    for finite, code in (
        (adaptation_is_finite(weights, losses), ADAPTATION_DIVERGED),
        (predictions_are_finite(predictions), PREDICTIONS_DIVERGED),
    ):
        status = tf.where(tf.logical_or(finite, status != OK), status, code)
    answers = _zeros_unless(tf.equal(status, OK), {**predictions, "support_loss": losses})
    return {**answers, "status": status}


def _zeros_unless(condition, tensors):
    return tf.nest.map_structure(
        lambda tensor: tf.where(condition, tensor, tf.zeros_like(tensor)), tensors
    )


def _finite(named):
    good = True
    for tensor in named.values():
        axes = tf.range(1, tf.rank(tensor))
        if tensor.dtype.is_floating:
            finite = tf.reduce_all(tf.math.is_finite(tensor), axis=axes)
        else:
            finite = tf.ones(tf.shape(tensor)[:1], tf.bool)
        good = tf.logical_and(good, finite)
    return good
