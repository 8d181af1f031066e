"""What a learner is worth: held-out tasks, every inner step, every normalisation mode asked for.

The protocol of the papers: N tasks, the mean of each task's metric with the 95 % interval
1.96 s / sqrt(N). Beside it the median and the number of diverged tasks, since a mean alone hides
one task that blew up.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.contracts import Adapts, MeasuresTasks

SCHEMA_VERSION = 1
ACCURACY = "accuracy"
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


def query_metrics(
    loss: Any,
    targets: np.ndarray,
    outputs: np.ndarray,
    weights: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Each task's metrics after each step.

    Args:
        loss: a Keras loss, or its name.
        targets: [T, Q, ...].
        outputs: the network's raw outputs [T, n + 1, Q, ...].
        weights: of queries [T, Q] or of their elements [T, Q, ...], or None.
        mask: of the outputs [T, n + 1, Q, ...], False where an element does not count, or None.

    Returns:
        A dict from the metric's name to an array [T, n + 1].
    """
    loss = inner.SetLoss(loss)
    kind, steps = loss.kind, outputs.shape[1]
    repeated = np.repeat(targets[:, None], steps, axis=1)
    weights = None if weights is None else np.repeat(np.asarray(weights)[:, None], steps, axis=1)
    counts = _counts(kind, repeated, outputs, [p for p in (weights, mask) if p is not None])
    metrics = {}
    if kind.is_classification:
        metrics[ACCURACY] = _over_queries(_right(kind, repeated, outputs), counts)
    elif repeated.shape == outputs.shape:
        squares = np.square(outputs.astype("float64") - repeated)
        metrics["mean_squared_error"] = _over_queries(squares, counts)
    if not kind.is_squared_error:
        metrics["loss"] = _losses(loss, repeated, outputs, weights, mask)
    return metrics


def _counts(kind, targets, outputs, parts):
    """What each element counts for, [T, n + 1, Q, ...], or None: all alike."""
    if kind.ignore_class is not None:
        parts = [*parts, targets.reshape(outputs.shape[:-1]) != kind.ignore_class]
    if not parts:
        return None
    rank = max(part.ndim for part in parts)
    return math.prod(part.reshape(part.shape + (1,) * (rank - part.ndim)) for part in parts)


def _losses(loss, targets, outputs, weights, mask):
    """Each task's loss after each step, [T, n + 1], of arrays [T, n + 1, ...]."""
    tensors = [None if a is None else tf.constant(a) for a in (targets, outputs, weights, mask)]
    targets, outputs, weights, mask = tensors
    if not loss.reduces_itself:
        values, counts = loss.elements(targets, inner.with_mask(outputs, mask), weights)
        if values.shape[:3] == outputs.shape[:3]:
            return loss.factor * _over_queries(values, counts, loss.sums)
    answers = [
        [
            loss(
                targets[task, step],
                inner.with_mask(outputs[task, step], None if mask is None else mask[task, step]),
                None if weights is None else weights[task, step],
            )
            for step in range(outputs.shape[1])
        ]
        for task in range(outputs.shape[0])
    ]
    return np.asarray(answers, dtype="float64")


def _right(kind, targets, outputs):
    right = _agrees(kind, targets, outputs)
    finite = np.isfinite(outputs)
    return right & (finite if right.shape == finite.shape else finite.all(axis=-1))


def _agrees(kind, targets, outputs):
    if kind.target == "sparse":
        # A sparse label may come as [Q] or [Q, 1].
        return outputs.argmax(-1) == targets.reshape(outputs.shape[:-1])
    if kind.target == "binary":
        threshold = 0.0 if kind.from_logits else 0.5
        return (outputs > threshold) == (targets.reshape(outputs.shape) > 0.5)
    return outputs.argmax(-1) == targets.argmax(-1)


def _over_queries(values, weights=None, sums=False) -> np.ndarray:
    """Mean (or sum) over a task's elements, of values [T, n + 1, Q, ...], weighted or not."""
    values = np.asarray(values, dtype="float64")
    if weights is None:
        flat = values.reshape(*values.shape[:2], -1)
        return flat.sum(axis=-1) if sums else flat.mean(axis=-1)
    weights = np.asarray(weights, dtype="float64")
    weights = weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
    weights = np.broadcast_to(weights, values.shape)
    axes = tuple(range(2, values.ndim))
    total = np.where(weights == 0, 0.0, values * weights).sum(axis=axes)
    count = weights.sum(axis=axes)
    return total if sums else np.divide(total, count, out=np.zeros_like(total), where=count != 0)


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


def report_of(learner: Any, stream: Any, results: dict, **asked: Any) -> dict:
    """The document evaluation.json: the protocol as data, and the results.

    Args:
        learner: the learner that was evaluated.
        stream: what it was evaluated on; its `info` goes into the protocol.
        results: of `evaluate_learner`.
        **asked: split, tasks, inner_steps, seed, checkpoint, step, ...
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol(learner, stream, **asked),
        "results": results,
    }


def protocol(learner: Any, stream: Any, **asked: Any) -> dict:
    """What the numbers of an evaluation belong to: learner, network, tasks, and what was asked.

    Args:
        learner: the learner that is evaluated.
        stream: the stream of tasks; its `info` goes into the protocol.
        **asked: split, tasks, inner_steps, seed, checkpoint, step, ...
    """
    return {
        "learner": type(learner).__name__,
        "network": learner.network.name,
        "parameters": int(learner.network.count_params()),
        "trained_normalization": learner.normalization,
        "batch_statistics": has_batch_statistics(learner.network),
        **stream.info,
        **asked,
    }


def has_batch_statistics(network: keras.Model) -> bool:
    """Whether a network normalises by statistics of a batch, so that modes of it differ.

    Layers of Keras and of this library are known; of your own layers it is assumed.
    """
    known = ("keras.", "tfmeta.networks.")
    return any(
        isinstance(layer, keras.layers.BatchNormalization)
        or not type(layer).__module__.startswith(known)
        for layer in network._flatten_layers()
    )


def table(report: dict, steps: Sequence[int] | None = None) -> str:
    """A report as text: a line an inner step, a column a metric and normalisation."""
    results = report["results"]
    columns = [(mode, metric) for mode, metrics in results.items() for metric in metrics]
    count = len(results[columns[0][0]][columns[0][1]]["mean"])
    shown = [step for step in (steps or _shown_steps(count - 1)) if step < count]
    rows = [["inner steps", *(mode for mode, _ in columns)], ["", *(name for _, name in columns)]]
    for step in shown:
        cells = (_cell(results[mode][name], name, step) for mode, name in columns)
        rows.append([str(step), *cells])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    diverged = (f"{next(iter(m.values()))['diverged']} {mode}" for mode, m in results.items())
    tasks = report["protocol"].get("tasks")
    lines.append(
        f"mean +- 95 % interval (median) over {tasks} tasks; diverged: {', '.join(diverged)} "
        "(in medians and accuracies, not in means of errors)"
    )
    return "\n".join(lines)


def _shown_steps(last: int) -> list[int]:
    usual = (0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
    return sorted({*(step for step in usual if step < last), last})


def _cell(summary: dict, metric: str, step: int) -> str:
    mean, interval, median = (summary[key][step] for key in ("mean", "interval95", "median"))
    if mean is None:
        return "not finite"
    scale, digits, unit = (100, 2, " %") if metric == ACCURACY else (1, 3, "")
    spread = f" +- {scale * interval:.{digits}f}" if interval is not None else ""
    middle = "not finite" if median is None else f"{scale * median:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}{unit} ({middle})"
