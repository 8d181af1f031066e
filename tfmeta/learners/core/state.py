"""State that the tasks of a batch leave behind, as one."""

import tensorflow as tf

from tfmeta.learners.task_weights import mean_of_tasks


def mean_over_tasks(
    stacked: list[tf.Tensor], previous: list[tf.Tensor], weight: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Mean of state over tasks [T, ...]; integers (counters) move by the rounded mean change.

    Args:
        stacked: list of tensors [T, ...].
        previous: list of tensors, the state that all tasks started from.
        weight: [T], the tasks' weights, or None. Without a task of a weight above 0 the state
            stays as it was.
    """

    def mean(new, old):
        if new.dtype.is_floating:
            found = mean_of_tasks(new, weight)
        else:
            # A change, not a value: large counters are no float64.
            change = tf.cast(new, tf.int64) - tf.cast(old, tf.int64)
            change = tf.round(mean_of_tasks(tf.cast(change, tf.float64), weight))
            found = tf.cast(tf.cast(old, tf.int64) + tf.cast(change, tf.int64), old.dtype)
        return found if weight is None else tf.where(tf.reduce_any(weight > 0), found, old)

    return [mean(new, old) for new, old in zip(stacked, previous, strict=True)]
