"""Pictures of a run: the learning curve, the curve over inner steps, adaptation to tasks."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from tfmeta.runs.files import sync

_WIDTH, _HEIGHT = 6.4, 4.0  # inches
# Colours that colour-blind readers tell apart (Okabe and Ito).
_BLUE, _ORANGE, _RED, _GREY = "#0072B2", "#E69F00", "#D55E00", "#777777"
# A colour, a line and a mark for each normalisation mode, the same in every picture.
_MODES = {
    "transductive": (_BLUE, "-", "o"),
    "inductive": (_ORANGE, "--", "s"),
    "running": (_RED, ":", "^"),
}
_LEAST_SHARE = 0.005  # a bin of fewer of the queries says little of how often they are right
_SMOOTHED_ROWS = 50  # a learning curve shows about this many points of the running mean


def _save(figure: Figure, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    sync(temporary)
    return temporary.replace(path)


def _axes(title: str, x: str, y: str):
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def learning_curve(rows: list[dict[str, str]], path: Path, title: str) -> Path:
    """Draws loss and accuracy of metrics.csv over meta-steps, of training and of validation.

    Args:
        rows: of metrics.csv.
        path: of the PNG.
        title: of the picture.
    """
    steps = np.array([int(row["step"]) for row in rows])
    accuracy = next((name for name in ("accuracy", "query_accuracy") if name in rows[0]), None)
    figure, axes = _axes(title, "meta-step", "loss")
    losses = np.array([float(row["loss"]) for row in rows])
    handles = _curve(axes, steps, losses, _BLUE, "loss")
    handles += _validation_curve(axes, rows, "val_loss", _BLUE, "loss")
    if (losses > 0).all() and losses.max() > 20 * losses.min():
        axes.set_yscale("log")
    if accuracy or "val_accuracy" in rows[0]:
        right = axes.twinx()
        right.set_ylabel("accuracy")
        right.set_ylim(0, 1)
        right.spines[["top"]].set_visible(False)
        if accuracy:
            values = [float(row[accuracy]) for row in rows]
            handles += _curve(right, steps, values, _ORANGE, "accuracy")
        handles += _validation_curve(right, rows, "val_accuracy", _ORANGE, "accuracy")
    elif "val_return" in rows[0]:
        right = axes.twinx()
        right.set_ylabel("return")
        handles += _validation_curve(right, rows, "val_return", _ORANGE, "return")
    axes.legend(handles=handles, loc="center right")
    return _save(figure, path)


def _validation_curve(axes, rows, column, colour, label):
    """A dashed line with a mark for each validated step; none where there is no value."""
    points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
    style = {"color": colour, "linestyle": "--", "marker": "o", "markersize": 4}
    name = f"validation {label}"
    return axes.plot(*zip(*points, strict=True), label=name, **style) if points else []


def _curve(axes, steps, values, colour, label):
    values = np.asarray(values)
    window = max(1, len(values) // _SMOOTHED_ROWS)
    axes.plot(steps, values, color=colour, alpha=0.25 if window > 1 else 1.0, linewidth=1)
    if window == 1:
        return axes.plot(steps, values, color=colour, label=label)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    return axes.plot(
        steps[window - 1 :], mean, color=colour, label=f"{label}, running mean of {window} points"
    )


def inner_steps_curve(report: dict, path: Path) -> Path:
    """Draws a report's first metric over inner steps, a line a normalisation mode.

    Modes have no names where the network normalises by no statistics of a batch: they are alike.
    """
    protocol = report["protocol"]
    metric = next(iter(next(iter(report["results"].values()))))
    ways = f"{protocol['ways']}-way " if "ways" in protocol else ""
    kind = f"{protocol.get('name', 'tasks')} {ways}{protocol['shots']}-shot"
    title = f"{kind}, {protocol['tasks']} {protocol['split']} tasks"
    figure, axes = _axes(title, "inner steps", metric.replace("_", " "))
    for mode, metrics in report["results"].items():
        summary = metrics[metric]
        mean, interval = (
            np.array([np.nan if v is None else v for v in summary[key]], dtype=float)
            for key in ("mean", "interval95")
        )
        steps = np.arange(len(mean))
        named = protocol.get("batch_statistics") is not False
        colour, line, marker = _MODES[mode] if named else (_BLUE, "-", "o")
        style = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4}
        axes.plot(steps, mean, label=mode if named else None, **style)
        low, high = mean - interval, mean + interval
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    band = Patch(color=_GREY, alpha=0.3, linewidth=0, label="95 % interval over tasks")
    axes.legend(handles=[*axes.get_legend_handles_labels()[0], band])
    return _save(figure, path)


def calibration(report: dict, path: Path) -> Path:
    """Draws a report's calibration: a reliability diagram, or the coverage of intervals.

    A reliability diagram leaves out bins that few queries are in.
    """
    found, protocol = report["calibration"], report["protocol"]
    error = f"calibration error {100 * found['calibration_error']:.1f} %"
    title = f"{protocol['learner']}, {protocol['tasks']} {protocol['split']} tasks: {error}"
    if "bins" in found:
        figure, axes = _axes(title, "confidence", "accuracy")
        x, y = ([part[name] for part in found["bins"]] for name in ("confidence", "accuracy"))
        counts = np.array([part["count"] for part in found["bins"]])
        share = {"color": _GREY, "alpha": 0.4, "label": "share of the queries"}
        axes.bar(x, counts / counts.sum(), width=0.03, **share)
        enough = counts >= _LEAST_SHARE * counts.sum()
        x, y = (np.where(enough, np.array(values, float), np.nan) for values in (x, y))
    else:
        figure, axes = _axes(title, "probability of the interval", "targets inside")
        x, y = ([part[name] for part in found["levels"]] for name in ("expected", "observed"))
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="calibrated")
    axes.plot(x, y, marker="o", markersize=4, color=_BLUE, label=protocol["learner"])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="upper left")
    return _save(figure, path)


def sinusoid_adaptation(curves: dict, path: Path) -> Path:
    """Draws adaptation to sinusoids, a panel a task.

    Args:
        curves: "support_x", "support_y" [T, K, 1], "x" [P], "truth" [T, P],
            "predictions": a dict from inner steps to [T, P], and "bands": None, or the
            "samples" [T, n, P] and deviations "std" [T, P] after the last of them.
        path: of the PNG.
    """
    tasks = len(curves["truth"])
    figure = Figure(figsize=(2.6 * tasks, 3.2), layout="constrained")
    styles = {0: (_GREY, ":"), 1: (_ORANGE, "--")}
    for task, axes in enumerate(figure.subplots(1, tasks, squeeze=False, sharey=True)[0]):
        axes.plot(curves["x"], curves["truth"][task], color="black", label="truth")
        if curves["bands"]:
            _draw_band(axes, curves, task)
        for steps, predictions in curves["predictions"].items():
            colour, style = styles.get(steps, (_BLUE, "-"))
            label = "before" if steps == 0 else f"after {steps} step{'s' if steps > 1 else ''}"
            axes.plot(curves["x"], predictions[task], color=colour, linestyle=style, label=label)
        points = curves["support_x"][task][:, 0], curves["support_y"][task][:, 0]
        label = f"{len(points[0])} support points"
        axes.plot(*points, "o", color=_RED, markersize=6, label=label)
        axes.set(xlabel="x", ylabel="y" if task == 0 else "", title=f"test task {task + 1}")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return _save(figure, path)


def _draw_band(axes, curves: dict, task: int) -> None:
    """Two deviations to each side of the last mean, and the samples."""
    mean = list(curves["predictions"].values())[-1][task]
    width = 2 * curves["bands"]["std"][task]
    axes.fill_between(
        curves["x"],
        mean - width,
        mean + width,
        color=_BLUE,
        alpha=0.2,
        label="2 std, with noise",
    )
    for sample in curves["bands"]["samples"][task]:
        axes.plot(curves["x"], sample, color=_BLUE, linewidth=0.5, alpha=0.4)


def paths(positions: list, goals: np.ndarray, best: np.ndarray, path: Path) -> Path:
    """Draws where points went, a column a task: before adaptation above, after it below.

    Args:
        positions: before the updates and after each, a list a task of a trajectory's positions
            [steps, 2].
        goals: [T, 2].
        best: the best path of each task, [T, steps, 2].
        path: of the PNG.
    """
    rows, tasks = len(positions), len(goals)
    seen = np.concatenate([goals, *best, *(one for row in positions for of in row for one in of)])
    low, high = seen.min() - 0.05, seen.max() + 0.05
    figure = Figure(figsize=(2.6 * tasks, 2.7 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, tasks, squeeze=False, sharex=True, sharey=True)
    for row, (axes_of_row, of_tasks) in enumerate(zip(grid, positions, strict=True)):
        words = "before the update" if row == 0 else f"after {row} update{'s' if row > 1 else ''}"
        for task, axes in enumerate(axes_of_row):
            for number, one in enumerate(of_tasks[task]):
                label = "trajectories" if number == 0 else None
                axes.plot(*one.T, color=_BLUE, alpha=0.3, linewidth=0.7, label=label)
            for number, one in enumerate(of_tasks[task]):
                label = "end of a trajectory" if number == 0 else None
                axes.plot(*one[-1], ".", color="black", markersize=3, label=label)
            axes.plot(*best[task].T, "--", color=_ORANGE, linewidth=2, label="best path")
            axes.plot(0, 0, "sk", markersize=5, label="start")
            axes.plot(*goals[task], "*", color=_RED, markersize=13, label="goal")
            if row == 0:
                axes.set_title(f"test task {task + 1}")
            if task == 0:
                axes.set_ylabel(words)
            axes.set(aspect="equal", xlim=(low, high), ylim=(low, high))
            axes.grid(alpha=0.3)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return _save(figure, path)
