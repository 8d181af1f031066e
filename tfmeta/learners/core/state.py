"""The state of a learner: what the tasks of a batch leave behind, and what a meta-step assigns."""

import tensorflow as tf

from tfmeta import inner
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


def changed_groups(learner) -> frozenset[str]:
    """Names of the groups of state that a meta-step assigns.

    Args:
        learner: a `MetaLearner`.
    """
    pure = learner.task_network.pure
    moves = (learner.normalization == "running" and pure.averaging) or pure.moving
    names = [name for part in learner.parts for name in part.changes]
    return frozenset([*(("network",) if moves else ()), *names])


def assign_state(learner, state: list[tf.Tensor], updates) -> None:
    """Assigns what a meta-step changes of a learner's state.

    Args:
        learner: a `MetaLearner`.
        state: list of tensors, the mean of the states that the tasks of a batch leave.
        updates: number of updates of the parameters, an int or an integer scalar tensor.
    """
    groups = learner.state_groups
    values = learner.gradient_rule.after_updates(groups.pack(state), updates)
    changed = changed_groups(learner)
    for name in groups.names:
        if name not in changed:
            continue
        for variable, value in zip(groups.variables_of(name), getattr(values, name), strict=True):
            if not inner.is_seed(variable):
                variable.assign(value)
