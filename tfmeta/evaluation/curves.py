"""What a learner is worth: held-out tasks, every inner step, every normalisation mode asked for.

The protocol of the papers: N tasks, the mean of each task's metric with the 95 % interval
1.96 s / sqrt(N). Beside it the median and the number of diverged tasks, since a mean alone hides
one task that blew up.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfmeta import inner
from tfmeta.evaluation.metrics import ACCURACY, query_metrics
from tfmeta.learners.contracts import Adapts, MeasuresTasks

HIGHER_IS_BETTER = (ACCURACY, "return")
# Gradient descent that works lowers the support loss; one that raises it tenfold has diverged.
DIVERGED_TIMES = 10.0


def evaluate_learner(
    learner: Adapts | MeasuresTasks,
    stream: Any,
    tasks: int = 600,
    *,
    inner_steps: int | None = None,
    normalizations: Sequence[str] | None = None,
    tasks_per_batch: int = 25,
    report: Callable[[int], None] | None = None,
) -> dict:
    """Adapts a learner to tasks and measures it on their queries after 0, 1, ..., n steps.

    Args:
        learner: a compiled learner.
        stream: an endless stream of tasks, or one of at least `tasks` tasks rounded up to whole
            batches.
        tasks: number of tasks.
        inner_steps: of adaptation; None: `learner.test_inner_steps`.
        normalizations: modes; None: the learner's own.
        tasks_per_batch: tasks adapted at once.
        report: called with the number of tasks done.

    Returns:
        `{"<normalization>": {"<metric>": {"mean": [n + 1], "interval95": [n + 1],
        "median": [n + 1], "diverged": k}}}`. The metrics are "accuracy" (a fraction) and "loss"
        for classification, "mean_squared_error" (and "loss", if that is another) for regression,
        "return" for a policy.
        Means and intervals of errors and losses leave the diverged tasks out, since one of them
        can be as large as all others together; accuracies count every task, an answer that is
        not finite as wrong; medians are over all tasks. null: not finite.

    Raises:
        ValueError: if the stream ends before `tasks` tasks.
    """
    results = {}
    for number, mode in enumerate(normalizations or [learner.normalization]):
        rows: list = []
        support_losses: list = []
        for batch in stream.batch(tasks_per_batch).take(-(-tasks // tasks_per_batch)):
            first = len(rows) * tasks_per_batch
            metrics, losses = _measured(learner, batch, inner_steps, mode, first)
            rows.append(metrics)
            support_losses.append(losses)
            if report:
                report(min(number * tasks + len(rows) * tasks_per_batch, (number + 1) * tasks))
        given = sum(map(len, support_losses))
        if given < tasks:
            raise ValueError(
                "An evaluation needs a stream of at least `tasks` tasks. Received: "
                f"tasks={tasks}, and a stream of {given}. Lower tasks, or pass a longer stream."
            )
        columns = {name: np.concatenate([row[name] for row in rows])[:tasks] for name in rows[0]}
        diverged = diverged_tasks(np.concatenate(support_losses)[:tasks], columns)
        results[mode] = {name: _summary(name, v, diverged) for name, v in columns.items()}
    return results


def _measured(learner: Adapts | MeasuresTasks, batch, inner_steps, mode, first_task):
    """Metrics of a batch's tasks, [T, n + 1] each, and their support losses [T, n + 1].

    A learner whose tasks are not examples with targets (a policy's) measures them itself, by
    `task_metrics`. It has no support loss that rises: only numbers that are not finite diverge.
    """
    if isinstance(learner, MeasuresTasks):
        metrics = learner.task_metrics(batch, inner_steps, mode)
        return metrics, np.zeros_like(next(iter(metrics.values())))
    x, y, *weights = batch
    options = {"sample_weight": weights[0]} if weights else {}
    outputs, losses = learner.adaptation_curve(
        x, inner_steps=inner_steps, normalization=mode, first_task=first_task, **options
    )
    mask = inner.mask_of(outputs)
    metrics = query_metrics(
        learner.loss,
        np.asarray(y),
        np.asarray(outputs),
        np.asarray(weights[0]) if weights else None,
        None if mask is None else np.asarray(mask),
    )
    return metrics, np.asarray(losses)


def diverged_tasks(support_losses: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Which tasks' adaptation blew up, bool [T].

    A task did if a value is not finite, or if its support loss rose at some step above
    `DIVERGED_TIMES` both its own before adaptation and the mean one.

    Args:
        support_losses: [T, n + 1].
        columns: of `query_metrics`, [T, n + 1] each.
    """
    finite = np.isfinite(support_losses).all(axis=1)
    for values in columns.values():
        finite &= np.isfinite(values).all(axis=1)
    before = support_losses[:, 0]
    limit = DIVERGED_TIMES * np.maximum(before, np.mean(before, where=np.isfinite(before)))
    with np.errstate(invalid="ignore"):
        return ~finite | (support_losses > limit[:, None]).any(axis=1)


def _summary(metric: str, values: np.ndarray, diverged: np.ndarray) -> dict:
    """Mean, interval, median of [T, n + 1] over tasks."""
    kept = values if metric == ACCURACY else values[~diverged]
    nothing = np.full(values.shape[1], np.nan)
    spread = kept.std(axis=0, ddof=1) if len(kept) > 1 else nothing
    return {
        "mean": _numbers(kept.mean(axis=0) if len(kept) else nothing),
        "interval95": _numbers(1.96 * spread / math.sqrt(max(len(kept), 1))),
        "median": _numbers(np.median(np.where(np.isfinite(values), values, np.inf), axis=0)),
        "diverged": int(diverged.sum()),
    }


def _numbers(values) -> list[float | None]:
    """As JSON has them: null for what is not finite."""
    return [float(value) if math.isfinite(value) else None for value in values]
