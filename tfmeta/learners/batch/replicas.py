"""A batch of tasks on several replicas of a `tf.distribute.Strategy`, as on one device.

Each replica has a share of the batch's tasks, and the shares may differ in size: 3 tasks on two
replicas are 2 and 1. What counts is the mean over all tasks. An optimizer applies it in
cross-replica context: within a replica it would clip the gradients of shares, and then sum them.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Share(NamedTuple):
    """A replica's part of a batch of tasks.

    Attributes:
        first: index, within the whole batch, of the first task of this replica.
        total: number of tasks of the whole batch.
        amount: what this replica's tasks count for in the mean: the sum of their weights.
        factor: how much this replica's mean counts in the mean over replicas: its amount times
            replicas / the amount of all. None on one replica.
    """

    first: int | tf.Tensor
    total: tf.Tensor
    amount: tf.Tensor
    factor: tf.Tensor | None


def replica_count() -> int:
    """Replicas among which the caller is one; 1 outside of replica context."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def own_share(count, amount) -> Share:
    """The caller's share of a batch.

    Args:
        count: number of its own tasks, int32 [].
        amount: the sum of their weights, float32 [].
    """
    replicas = replica_count()
    if replicas == 1:
        return Share(0, count, amount, None)
    context = tf.distribute.get_replica_context()
    number = context.replica_id_in_sync_group
    # Not `all_reduce`: strategies of one process share its collectives, each of one shape for ever.
    counts, amounts = context.merge_call(
        lambda strategy, *values: [
            tf.stack(strategy.experimental_local_results(value)) for value in values
        ],
        args=(tf.cast(count, tf.int64), tf.cast(amount, tf.float64)),
    )
    factor = replicas * tf.math.divide_no_nan(amounts[number], tf.reduce_sum(amounts))
    first = tf.cumsum(counts, exclusive=True)[number]
    return Share(first, tf.reduce_sum(counts), amount, factor)


def with_a_task(function: Callable, tasks):
    """Maps tasks of which a replica may have none, where a vectorised map needs one.

    Args:
        function: of a structure of tensors [T, ...] to another; called with one task of zeros
            where there is none.
        tasks: structure of tensors [T, ...] and None.
    """
    first = next(tensor for tensor in tf.nest.flatten(tasks) if tensor is not None)
    if replica_count() == 1 or first.shape[0]:
        return function(tasks)
    count = tf.shape(first)[0]
    missing = tf.maximum(1 - count, 0)

    def padded(tensor):
        if tensor is None:
            return None
        shape = tf.concat([[missing], tf.shape(tensor)[1:]], axis=0)
        return tf.concat([tensor, tf.zeros(shape, tensor.dtype)], axis=0)

    results = function(tf.nest.map_structure(padded, tasks))
    return tf.nest.map_structure(lambda tensor: tensor[:count], results)


def changes(before: list, after: list) -> list:
    """What state changed by, in floats: a mean of changes is 0 where no task counts.

    Args:
        before: list of tensors.
        after: list of tensors, as `before`.
    """

    def change(old, new):
        if new.dtype.is_floating:
            return new - old
        return tf.cast(tf.cast(new, tf.int64) - tf.cast(old, tf.int64), tf.float64)

    return [change(old, new) for old, new in zip(before, after, strict=True)]


def changed(before: list, change: list) -> list:
    """State after changes that `changes` gave; integers change by the rounded number.

    Args:
        before: list of tensors.
        change: list of tensors.
    """

    def after(old, by):
        if old.dtype.is_floating:
            return old + by
        return tf.cast(tf.cast(old, tf.int64) + tf.cast(tf.round(by), tf.int64), old.dtype)

    return [after(old, by) for old, by in zip(before, change, strict=True)]


def weighted(share: Share, tensors):
    """What the mean over replicas needs: means over a replica's tasks, by the share's factor.

    Args:
        share: of the replica.
        tensors: structure of tensors; integers stay as they are.
    """
    if share.factor is None:
        return tensors

    def one(value):
        if not value.dtype.is_floating:
            return value
        factor = tf.cast(share.factor, value.dtype)
        # The mean over no task is not a number.
        return tf.where(factor > 0, value * factor, tf.zeros_like(value))

    return tf.nest.map_structure(one, tensors)


def mean_over_replicas(strategy: tf.distribute.Strategy, values):
    """Mean over replicas of what `strategy.run` returned; of integers the first replica's.

    Args:
        strategy: whose cross-replica context the caller is in.
        values: structure of values of each replica.
    """

    def mean(value):
        first = strategy.experimental_local_results(value)[0]
        if not first.dtype.is_floating:
            return first
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)

    return tf.nest.map_structure(mean, values)


def once(function: Callable):
    """Calls a function of no argument once for all replicas, and returns what it does to each."""
    if replica_count() == 1:
        return function()
    context = tf.distribute.get_replica_context()
    return context.merge_call(lambda strategy: function())
