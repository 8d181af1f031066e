"""Whether a learner tells queries of no class of their task, strangers, from the others.

Strangers are as many queries of classes outside the task, of the same split. The score and its
threshold are chosen on validation tasks; how good they are is measured on test tasks.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfmeta.learners.answers import outlier_scores
from tfmeta.learners.meta_learner import MetaLearner

FALSE_ALARMS = 0.05  # share of a task's own queries that the threshold takes for strangers


def measure_outliers(
    learner: MetaLearner,
    validation: Any,
    test: Any,
    tasks: int = 600,
    *,
    inner_steps: int | None = None,
    tasks_per_batch: int = 25,
    report: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Chooses a score and a threshold on validation tasks, and measures both on test tasks.

    The streams have twice the ways of the tasks: the first half of the labels are a task's
    classes, the other half are strangers.

    Example:
        >>> import functools, keras, tfmeta
        >>> from tfmeta.evaluation import measure_outliers
        >>> learner = tfmeta.R2D2(tfmeta.networks.nonconv(ways=5))
        >>> learner.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> stream = functools.partial(tfmeta.tasks.glyphs, ways=10, shots=1, queries=2)
        >>> found = measure_outliers(learner, stream("validation"), stream("test"), tasks=8)
        >>> found["ways"], found["shots"], sorted(found["scores"])
        (5, 1, ['energy', 'max_logit'])

    Args:
        learner: a compiled classifier by a cross-entropy from logits.
        validation: stream of classification tasks of twice the ways, all of one size.
        test: the same of the test split.
        tasks: number of tasks of each.
        inner_steps: None: `learner.test_inner_steps`.
        tasks_per_batch: tasks adapted at once.
        report: called with the number of tasks done.

    Returns:
        "score", the name with the largest area under the ROC curve on validation tasks;
        "threshold", above which a query counts as a stranger; "false_alarms", the share of
        queries above it on validation tasks, by choice; "ways", "shots", "inner_steps" and
        "normalization", for which it holds; "scores": the area of each score on validation tasks;
        "test": "auroc", "false_alarms" and "recall", each {"mean", "interval95"} over test tasks.
        A task whose scores are not finite is left out, and counted as "diverged".

    Raises:
        ValueError: for a learner without such scores, or tasks of another kind.
    """
    names = outlier_scores.scores_of(learner)
    if not names:
        outlier_scores.check_score(learner, outlier_scores.ENERGY)
    steps = learner.test_inner_steps if inner_steps is None else inner_steps
    if not steps:  # Then there are no prototypes.
        names = tuple(name for name in names if name != outlier_scores.PROTOTYPE)
    ways = half_of_ways(validation.info)
    if half_of_ways(test.info) != ways or test.info["shots"] != validation.info["shots"]:
        raise ValueError(
            "Validation and test tasks must be of one size. Received: "
            f"{_size(validation.info)} and {_size(test.info)}. Pass streams of the same ways and "
            "shots."
        )

    def score(x, chosen, first_task):
        return learner.outlier_scores(x, chosen, steps, first_task=first_task)

    how = (ways, tasks, tasks_per_batch, report)
    chosen_on, _ = scores_of_tasks(score, validation, names, *how)
    best, threshold, areas = choose(chosen_on)
    found, diverged = scores_of_tasks(score, test, (best,), *how)
    return {
        "score": best,
        "threshold": threshold,
        "false_alarms": FALSE_ALARMS,
        "ways": ways,
        "shots": test.info["shots"],
        "inner_steps": steps,
        "normalization": learner.normalization,
        "strangers": "as many queries of classes outside the task, of the same split",
        "tasks": tasks,
        "scores": areas,
        "test": {**judged(found[best], threshold), "diverged": diverged},
    }


def choose(scores: dict[str, list]) -> tuple[str, float, dict]:
    """The best score, its threshold, and the area under the ROC curve of each.

    Args:
        scores: of `scores_of_tasks`.

    Raises:
        ValueError: where no task has finite scores.
    """
    areas = {name: _mean([auroc(*pair) for pair in pairs]) for name, pairs in scores.items()}
    best = max(areas, key=lambda name: areas[name]["mean"] or 0.0)
    if not scores[best]:
        raise ValueError(
            "A threshold needs validation tasks with finite scores. Received: none. Train the "
            "learner first, or lower its inner rate."
        )
    own = np.concatenate([known for known, _ in scores[best]])
    return best, float(np.quantile(own, 1 - FALSE_ALARMS)), areas


def judged(pairs: Sequence[tuple], threshold: float) -> dict[str, dict]:
    """Area under the ROC curve, false alarms and recall, each a mean over tasks.

    Args:
        pairs: (known [Q], strangers [R]) of each task.
        threshold: above which a query counts as a stranger.
    """
    return {
        "auroc": _mean([auroc(*pair) for pair in pairs]),
        "false_alarms": _mean([np.mean(known > threshold) for known, _ in pairs]),
        "recall": _mean([np.mean(strangers > threshold) for _, strangers in pairs]),
    }


def scores_of_tasks(
    score: Callable,
    stream,
    names: Sequence[str],
    ways: int,
    tasks: int,
    tasks_per_batch: int = 25,
    report=None,
) -> tuple[dict[str, list], int]:
    """Scores of each task's own queries and of its strangers.

    Args:
        score: `score(x, names, first_task) -> {name: [T, Q]}` of a batch
            `x = (support_x, support_y, query_x)`.
        stream: of tasks with twice the ways.
        names: of scores.
        ways: classes of a task.
        tasks: number of tasks.
        tasks_per_batch: tasks adapted at once.
        report: called with the number of tasks done.

    Returns:
        By name a list of pairs (known [Q], strangers [Q]), a task whose scores are finite each;
        and the number of the other tasks.
    """
    pairs: dict[str, list] = {name: [] for name in names}
    diverged = done = 0
    for batch in stream.batch(tasks_per_batch).take(-(-tasks // tasks_per_batch)):
        x, strange = with_strangers(batch, ways)
        found = score(x, names, done)
        scores = {name: np.asarray(found[name], "float64") for name in names}
        for task in range(min(len(strange), tasks - done)):
            if not all(np.isfinite(values[task]).all() for values in scores.values()):
                diverged += 1
                continue
            for name, values in scores.items():
                known = values[task][~strange[task]]
                pairs[name].append((known, values[task][strange[task]]))
        done += len(strange)
        if report:
            report(done)
    return pairs, diverged


def with_strangers(batch, ways: int) -> tuple[tuple, np.ndarray]:
    """A batch of tasks of `2 * ways` classes as tasks of `ways` classes and strangers.

    Args:
        batch: `((support_x, support_y, query_x), query_y)` of tasks with as many examples of each
            class, sparse labels.
        ways: classes that a task keeps: the labels below it.

    Returns:
        `(support_x, support_y, query_x)` with the support examples of these classes and all
        queries, and which queries are strangers, bool [T, Q].
    """
    (support_x, support_y, query_x), query_y = batch
    kept = np.asarray(support_y) < ways
    tasks = len(kept)
    support_x, support_y = (
        np.asarray(part)[kept].reshape(tasks, -1, *part.shape[2:])
        for part in (support_x, support_y)
    )
    return (support_x, support_y, query_x), np.asarray(query_y) >= ways


def half_of_ways(info: dict) -> int:
    """Classes of a task, of a stream that has as many for strangers.

    Args:
        info: of the stream.

    Raises:
        ValueError: for tasks of another kind, or of varying size.
    """
    ways = info.get("ways")
    fixed = info.get("kind") == "classification" and "support_examples" not in info
    fixed = fixed and info.get("label_scope", "task") == "task"
    if not fixed or not isinstance(ways, int) or ways % 2 or ways < 2 or not info.get("queries"):
        raise ValueError(
            "Strangers are drawn with the tasks: a stream of classification tasks of one size, "
            "with queries, and twice the ways. Received: "
            f"{_size(info)}. Pass e.g. ways=10 for tasks of 5 classes."
        )
    return ways // 2


def auroc(known: np.ndarray, strangers: np.ndarray) -> float:
    """The share of pairs in which the stranger has the larger score; half of the ties.

    Args:
        known: scores [Q].
        strangers: scores [R].
    """
    larger = strangers[:, np.newaxis] > known
    equal = strangers[:, np.newaxis] == known
    return float(np.mean(larger + 0.5 * equal))


def _mean(values) -> dict[str, float | None]:
    """Mean over tasks and half its 95 % interval; None where there are too few."""
    spread = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if values[1:] else None
    return {"mean": float(np.mean(values)) if values else None, "interval95": spread}


def _size(info: dict) -> str:
    names = ("kind", "ways", "least_ways", "shots", "drawn", "queries")
    return ", ".join(f"{name}={info[name]!r}" for name in names if name in info) or "no sizes"
