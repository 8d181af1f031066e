"""The document evaluation.json, and the table of its results."""

from collections.abc import Sequence
from typing import Any

import keras

from tfmeta.evaluation.metrics import ACCURACY

SCHEMA_VERSION = 1


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
    known = ("keras.", "tfmeta.networks.", "tfmeta.rl.")
    return any(
        isinstance(layer, keras.layers.BatchNormalization)
        or not type(layer).__module__.startswith(known)
        for layer in network._flatten_layers()
    )


def table(report: dict, steps: Sequence[int] | None = None) -> str:
    """A report as text: a line an inner step, a column a metric and normalisation.

    Normalisation modes have no names where the network has no batch statistics: they are alike.
    """
    results = report["results"]
    named = report["protocol"].get("batch_statistics") is not False
    columns = [(mode, metric) for mode, metrics in results.items() for metric in metrics]
    count = len(results[columns[0][0]][columns[0][1]]["mean"])
    shown = [step for step in (steps or _shown_steps(count - 1)) if step < count]
    rows = [["inner steps", *(mode for mode, _ in columns)]] if named else []
    rows.append(["" if named else "inner steps", *(name for _, name in columns)])
    for step in shown:
        cells = (_cell(results[mode][name], name, step) for mode, name in columns)
        rows.append([str(step), *cells])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    diverged = (
        f"{next(iter(m.values()))['diverged']}{f' {mode}' if named else ''}"
        for mode, m in results.items()
    )
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
