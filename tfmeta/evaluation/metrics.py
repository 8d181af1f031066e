"""Metrics of each task's queries after each inner step."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta import inner

ACCURACY = "accuracy"


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
