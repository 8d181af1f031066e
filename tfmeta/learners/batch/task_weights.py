"""Weights of tasks, of queries and of elements of queries, told apart by their shape."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.batch.assertions import weight_assertions
from tfmeta.learners.batch.errors import in_words


def split_weights(task):
    """Tells weights of tasks from weights of queries.

    Keras gives one `sample_weight`. Of shape [T] or [T, 1] it holds the weights of tasks in the
    mean over tasks, of shape [T, Q] or [T, Q, ...] those of queries or of their elements. With
    one query a task, [T, 1] are weights of queries.

    Args:
        task: a `Task` of T tasks as `unpack_tasks` gives it.

    Returns:
        The task, with weights of queries or None, and the weights of tasks [T] or None.
    """
    if task.query.weights is not None:
        with in_words():  # of eager code, as `adaptation_curve`
            assertions = weight_assertions(task, support=False)
        with tf.control_dependencies(assertions):
            task = _reweighted(task, tf.identity(task.query.weights))
    weights = task.query.weights
    if weights is None or weights.shape.rank is None:
        return task, None
    if weights.shape.rank == 1:
        return _reweighted(task, None), weights
    first = keras.tree.flatten(task.query.inputs)[0]
    queries, count = first.shape[1], weights.shape[1]
    if count is None or (count == 1 and queries is None):
        return _told_apart_in_the_graph(task, weights, first)
    of_tasks = weights.shape[1:] == [1] and queries != 1
    return (_reweighted(task, None), weights[:, 0]) if of_tasks else (task, None)


def _told_apart_in_the_graph(task, weights, first):
    """As `split_weights`, where sizes are known only when the graph runs."""
    size = tf.shape(first)[:2]
    rest = tf.shape(weights)[2:]
    of_tasks = (tf.size(weights) == size[0]) & (size[1] != 1)
    ones = tf.ones(tf.concat([size, rest], axis=0), weights.dtype)
    queries = tf.cond(of_tasks, lambda: ones, lambda: weights)
    queries = tf.ensure_shape(queries, [*first.shape[:2], *weights.shape[2:]])
    firsts = tf.reshape(weights, [size[0], -1])[:, 0]
    return _reweighted(task, queries), tf.where(of_tasks, firsts, tf.ones_like(firsts))


def _reweighted(task, query_weights):
    return task._replace(query=task.query._replace(weights=query_weights))


def mean_of_tasks(values, weight):
    """Mean of values [T, ...] over tasks, weighted by [T] or None."""
    if weight is None:
        return tf.reduce_mean(values, axis=0)
    weight = tf.cast(weight, values.dtype)
    total = tf.tensordot(weight, values, axes=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight))


def total_weight(weight, count):
    """What a batch of so many tasks, of weights [T] or None, counts for in the mean of batches."""
    return tf.cast(count if weight is None else tf.reduce_sum(weight), tf.float32)


def flat_queries(task, outputs, weight=None):
    """All queries of a batch as one set, as Keras' metrics take it.

    Args:
        task: a `Task` of T tasks.
        outputs: [T, Q, ...], with the network's mask, if it gives one.
        weight: of the tasks, [T] or None.

    Returns:
        Targets [T * Q, ...], outputs [T * Q, ...] with their mask, and weights [T * Q, ...] of as
        many axes as the mask, or None.
    """
    masks = [_flat(mask) for mask in inner.masks_of(outputs)]
    weights = task.query.weights
    if weight is not None:
        weights = tf.ones(tf.shape(outputs)[:2]) if weights is None else tf.cast(weights, "float32")
        factor = tf.reshape(tf.cast(weight, "float32"), [-1] + [1] * (weights.shape.rank - 1))
        weights = weights * factor
    if weights is not None:
        weights = _flat(weights)
        for _ in range(masks[0].shape.rank - weights.shape.rank if masks else 0):
            weights = weights[..., tf.newaxis]
    return _flat(task.query.targets), inner.with_mask(_flat(outputs), *masks), weights


def _flat(tensor):
    """[T, Q, ...] as [T * Q, ...]."""
    rest = tensor.shape[2:]
    if rest.is_fully_defined():
        return tf.reshape(tensor, [-1, *rest])
    return tf.reshape(tensor, tf.concat([[-1], tf.shape(tensor)[2:]], axis=0))
