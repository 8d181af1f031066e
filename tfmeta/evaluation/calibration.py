"""Whether predictions are as sure as they are right: calibration and likelihood on held-out tasks.

Classifiers: the expected calibration error (Naeini et al. 2015) and the reliability diagram over
bins of confidence, as Guo et al. 2017. Regressions: how often a central interval of the predictive
distribution, a mixture of Gaussians, holds the target, against how often it should (Kuleshov,
Fenner, Ermon 2018).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfmeta.inner.likelihood import Likelihood
from tfmeta.learners.batch.task_keys import EVALUATION
from tfmeta.learners.contracts import SamplesAnswers

BINS = 15
# Probabilities of the central intervals.
LEVELS = tuple(round(0.05 * number, 2) for number in range(1, 20))
# Below this a probability is taken as this, so that one certain error is not infinite.
_LEAST = 1e-12


def calibrate(
    learner: Any,
    stream: Any,
    tasks: int = 600,
    *,
    noise: float | None = None,
    inner_steps: int | None = None,
    tasks_per_batch: int = 25,
    report: Callable[[int], None] | None = None,
) -> dict:
    """Adapts a learner to tasks and compares what it says of queries with their targets.

    Args:
        learner: a compiled learner; one that samples weights (`predictive`) is judged by its
            samples, another by its one answer.
        stream: an endless stream of tasks, or one of enough tasks; queries of weight 0 don't
            count.
        tasks: number of tasks.
        noise: standard deviation of a regression's targets around an output; None: the learner's.
        inner_steps: None: `learner.test_inner_steps`.
        tasks_per_batch: tasks adapted at once.
        report: called with the number of tasks done.

    Returns:
        "negative_log_likelihood": {"mean", "interval95"} a query, over tasks, in nats;
        "calibration_error", a fraction; for a classifier "bins": [{"confidence", "accuracy",
        "count"}], for a regression "levels": [{"expected", "observed"}] and "noise"; "diverged":
        number of tasks with an answer that is not finite, left out of all these. None: no value.

    Raises:
        ValueError: for a regression without noise.
    """
    deviation = noise
    if noise is None and isinstance(learner, SamplesAnswers):
        deviation = learner.noise
    likelihood = Likelihood.of(learner.loss_function.loss, deviation)
    if likelihood.link == "identity" and deviation is None:
        raise ValueError(
            "A regression's likelihood needs the deviation of its targets. Received: noise=None "
            f"with {type(learner).__name__}, which has none. Pass noise."
        )
    batches = stream.batch(tasks_per_batch).take(-(-tasks // tasks_per_batch))
    measure = _classified if likelihood.link != "identity" else _regressed
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for x, y, *weights in batches:
        first = len(rows) * tasks_per_batch
        samples = sampled_predictions(
            learner, likelihood, x, inner_steps, weights[0] if weights else None, first
        )
        judged, likelihoods = measure(samples, np.asarray(y), deviation)
        counts = _counted(likelihood.kind, np.asarray(y), likelihoods, *weights)
        size = likelihoods[0].size  # of a task's elements: queries, or pixels of queries
        rows.append(
            (
                judged.reshape(len(judged), size, -1),
                likelihoods.reshape(-1, size),
                counts.reshape(-1, size),
            )
        )
        if report:
            report(len(rows) * tasks_per_batch)
    judged, likelihoods, counts = (
        np.concatenate(parts)[:tasks] for parts in zip(*rows, strict=True)
    )
    finite = np.isfinite(np.where(counts, likelihoods, 0.0)).all(axis=1)
    means = np.mean(likelihoods, axis=1, where=counts)[finite]
    summary = {"negative_log_likelihood": _mean(-means), "diverged": int((~finite).sum())}
    judged = judged[finite][counts[finite]]  # of all queries that count, one after another
    if likelihood.link == "identity" and deviation is not None:
        return {**summary, **coverage(judged), "noise": float(deviation)}
    return {**summary, **reliability(judged[..., 0], judged[..., 1])}


def _counted(kind, targets, likelihoods, weights=None):
    """Which elements of queries count, bool of the likelihoods' shape [T, Q, ...]."""
    counts = np.ones(likelihoods.shape, bool)
    if weights is not None:
        weights = np.asarray(weights)
        counts &= weights.reshape(weights.shape + (1,) * (counts.ndim - weights.ndim)) > 0
    if kind.ignore_class is not None:
        counts &= targets.reshape(counts.shape) != kind.ignore_class
    return counts


def _mean(values) -> dict:
    """Mean over tasks and half its 95 % interval; None where there are too few."""
    known = len(values) > 1
    return {
        "mean": float(values.mean()) if len(values) else None,
        "interval95": 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if known else None,
    }


def sampled_predictions(
    learner, likelihood, x, inner_steps=None, weights=None, first_task=0
) -> np.ndarray:
    """Predictions [T, n, Q, ...] of a batch of tasks; n is 1 for a learner of one answer.

    Queries of weight 0 [T, Q] leave the batch statistics of a learner of one answer. `first_task`
    is the index of the batch's first task among all of the evaluation.
    """
    if isinstance(learner, SamplesAnswers):
        seed = learner.task_keys(first_task, 1, EVALUATION)[0]
        return learner.predictive(x, inner_steps=inner_steps, seed=seed).samples.numpy()
    options = {} if weights is None else {"sample_weight": weights}
    outputs, _ = learner.adaptation_curve(
        x, inner_steps=inner_steps, first_task=first_task, **options
    )
    return likelihood.predictions(outputs[:, -1:]).numpy()


def reliability(confidences, right) -> dict:
    """The expected calibration error and its bins.

    Args:
        confidences: of the predicted class, any shape.
        right: whether it was the target, the same shape.
    """
    confidences, right = np.ravel(confidences), np.ravel(right)
    numbers = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        inside = numbers == number
        if not inside.any():
            continue
        confidence, accuracy = confidences[inside].mean(), right[inside].mean()
        error += inside.mean() * abs(confidence - accuracy)
        bins.append(
            {
                "confidence": float(confidence),
                "accuracy": float(accuracy),
                "count": int(inside.sum()),
            }
        )
    return {"calibration_error": float(error) if bins else None, "bins": bins}


def coverage(quantiles) -> dict:
    """How often central intervals hold the target, and the mean error of that over `LEVELS`.

    Args:
        quantiles: at which quantile of its predictive distribution each target lies.
    """
    widths = np.abs(2 * np.ravel(quantiles) - 1)
    if not widths.size:
        return {"calibration_error": None, "levels": []}
    levels = [{"expected": level, "observed": float(np.mean(widths <= level))} for level in LEVELS]
    errors = [abs(level["expected"] - level["observed"]) for level in levels]
    return {"calibration_error": float(np.mean(errors)), "levels": levels}


def gaussian_mixture_log_density(samples, targets, noise) -> np.ndarray:
    """log of the mean over n of N(target; sample, noise^2), summed over outputs [T, Q].

    Args:
        samples: [T, n, Q, outputs].
        targets: [T, Q, outputs].
        noise: standard deviation.
    """
    errors = (samples.astype("float64") - targets[:, None]) / noise
    each = np.sum(-0.5 * errors**2 - math.log(noise) - 0.5 * math.log(2 * math.pi), axis=-1)
    with np.errstate(invalid="ignore"):  # of tasks that diverged
        return np.logaddexp.reduce(each, axis=1) - math.log(samples.shape[1])


def gaussian_mixture_quantiles(samples, targets, noise) -> np.ndarray:
    """The share of the mixture below each target [T, Q, outputs]; arguments as the density's."""
    errors = (targets[:, None] - samples.astype("float64")) / noise
    return (0.5 * (1.0 + np.vectorize(math.erf)(errors / math.sqrt(2.0)))).mean(axis=1)


def _regressed(samples, targets, noise):
    """(quantiles [T, Q, outputs], log-likelihoods [T, Q])."""
    targets = targets.reshape(samples[:, 0].shape)
    return (
        gaussian_mixture_quantiles(samples, targets, noise),
        gaussian_mixture_log_density(samples, targets, noise),
    )


def _classified(samples, targets, noise):
    """(confidences and whether right [T, Q, 2], log-likelihoods [T, Q]) of probabilities."""
    mean = samples.astype("float64").mean(axis=1)
    if mean.shape[-1] == 1:  # One logit: two classes.
        mean, targets = np.concatenate([1 - mean, mean], axis=-1), np.round(targets)
    if targets.shape == mean.shape:
        targets = targets.argmax(axis=-1)
    targets = targets.reshape(mean.shape[:-1]).astype(int)
    known = np.clip(targets, 0, mean.shape[-1] - 1)  # an ignored label has no column
    chosen = np.take_along_axis(mean, known[..., None], axis=-1)[..., 0]
    logs = np.log(np.maximum(chosen, _LEAST))
    return np.stack([mean.max(axis=-1), mean.argmax(axis=-1) == targets], axis=-1), logs
