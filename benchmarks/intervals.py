"""95 % intervals of figures over held-out tasks."""

from collections.abc import Callable

import numpy as np

BOOTSTRAPS = 1000


def interval(values: np.ndarray) -> dict:
    """Mean of a figure of each task, and half its 95 % interval, 1.96 s / sqrt(tasks).

    Tasks whose figure is not finite, because they diverged, are left out.
    """
    values = values[np.isfinite(values)]
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": float(values.mean()), "interval95": float(half)}


def bootstrap(figure: Callable[[np.ndarray], float], tasks: int, seed: int = 0) -> dict:
    """Interval of a figure that is no mean over tasks, by drawing tasks with replacement.

    Args:
        figure: of the indices of the tasks that it is computed from.
        tasks: number of tasks.
        seed: of the draws.

    Returns:
        "value", of all tasks, and "interval95", the 2.5 and 97.5 % quantiles of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = [figure(rng.integers(tasks, size=tasks)) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"value": float(figure(np.arange(tasks))), "interval95": [float(low), float(high)]}
