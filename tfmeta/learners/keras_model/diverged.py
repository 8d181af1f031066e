"""What a meta-step does with a task whose loss or gradient is not finite."""

import math

import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.batch.task_weights import mean_of_tasks
from tfmeta.learners.core.gradient_rule import TaskGradient

REFUSE, SKIP = CHOICES = ("refuse", "skip")
# Log of the share of tasks that were skipped.
DIVERGED = "diverged"


def check(diverged_tasks):
    """Raises a ValueError unless `diverged_tasks` is one of `CHOICES`."""
    if diverged_tasks not in CHOICES:
        raise ValueError(
            f"diverged_tasks must be one of {', '.join(map(repr, CHOICES))}. Received: "
            f"{diverged_tasks!r}. Pass 'skip' to leave out tasks that diverge."
        )


def without_diverged(result: TaskGradient, state: list) -> TaskGradient:
    """A task's result as it is where all is finite, else a gradient of 0 and the state as it was.

    Args:
        result: of `task_gradient`.
        state: list of tensors before the task.

    Returns:
        The result, with `DIVERGED` (0 or 1) among its logs; outputs of a diverged task are 0.
    """
    tensors = [result.gradient, result.logs, result.state]
    finite = tf.reduce_all(inner.finite_tasks([t[tf.newaxis] for t in tf.nest.flatten(tensors)]))

    def kept(value, otherwise):
        return tf.where(finite, value, otherwise)

    logs = {name: kept(value, tf.zeros_like(value)) for name, value in result.logs.items()}
    return TaskGradient(
        [kept(value, tf.zeros_like(value)) for value in result.gradient],
        kept(result.query_outputs, tf.zeros_like(result.query_outputs)),
        [kept(new, old) for new, old in zip(result.state, state, strict=True)],
        {**logs, DIVERGED: 1.0 - tf.cast(finite, logs["loss"].dtype)},
    )


def as_not_finite(logs: dict) -> tf.Tensor:
    """A tensor [T], not finite for the tasks that diverged, of logs of `without_diverged`."""
    diverged = logs[DIVERGED]
    return tf.where(diverged > 0, tf.constant(math.inf, diverged.dtype), diverged)


def mean_over_finite(logs: dict, weight=None) -> dict:
    """Means of logs [T] over the tasks that did not diverge; not finite where all did.

    Args:
        logs: of `without_diverged`, [T] each.
        weight: of the tasks, [T] or None.
    """
    diverged = logs[DIVERGED]
    finite = mean_of_tasks(1.0 - diverged, weight)
    means = {n: mean_of_tasks(v, weight) / tf.cast(finite, v.dtype) for n, v in logs.items()}
    return {**means, DIVERGED: 1.0 - finite}


def finite_share(logs: dict, name: str | None = None) -> tf.Tensor | None:
    """The share [] of tasks that did not diverge; None of a log that counts all tasks.

    Args:
        logs: means over tasks.
        name: of a log, which is of the finite tasks unless it is `DIVERGED`; None: of any.
    """
    return None if DIVERGED not in logs or name == DIVERGED else 1.0 - logs[DIVERGED]


def times_finite(logs: dict) -> dict:
    """Means over the tasks that did not diverge, times their share: 0 where all did.

    Args:
        logs: means over tasks, of one replica.
    """
    finite = finite_share(logs)
    if finite is None:
        return logs

    def scaled(value):
        value = tf.where(finite > 0, value, tf.zeros_like(value))
        return value * tf.cast(finite, value.dtype)

    return {n: v if n == DIVERGED else scaled(v) for n, v in logs.items()}


def over_finite(logs: dict) -> dict:
    """The inverse of `times_finite`, after a mean over replicas; not finite where all diverged."""
    finite = finite_share(logs)
    if finite is None:
        return logs
    return {n: v if n == DIVERGED else v / tf.cast(finite, v.dtype) for n, v in logs.items()}
