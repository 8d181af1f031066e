"""Reptile's figure: which of the inner gradients carry a meta-step (Nichol et al. 2018, section 6).

    python -m benchmarks.gradient_combinations [--steps=40000] [--runs=runs] [--write]

Trains the recipe omniglot_5way_5shot_reptile_gradients.gin once for each combination of the first
gradients of an inner loop on disjoint minibatches of 25 (5 drawings of 5 characters), the outer
step falling to 0 within `--steps`; what is trained already under `--runs` is used. Along the way
it looks at held-out tasks. `--write` stores the curves in results/gradient_combinations.json and
the picture beside it.
"""

import json
import sys
from pathlib import Path

from absl import app, flags
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from benchmarks import report
from tfmeta import recipe
from tfmeta.experiment import train

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_STEPS = flags.DEFINE_integer("steps", 40_000, "Meta-steps of each curve.", 1)
_POINTS = flags.DEFINE_integer("points", 8, "Points of a curve.", 1)
_TASKS = flags.DEFINE_integer("tasks", 100, "Held-out tasks of a point.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures and the picture in results/.")

RECIPE = "omniglot_5way_5shot_reptile_gradients.gin"
RESULT = report.ROOT / "results" / "gradient_combinations.json"
SHOTS = 5  # drawings a class in a minibatch
TAG = "validation_accuracy"
# The paper's, sums of gradients; coefficients of the inner steps.
COMBINATIONS = {
    "g1": (1,),
    "g2": (0, 1),
    "g1 + g2": (1, 1),
    "g3": (0, 0, 1),
    "g1 + g2 + g3": (1, 1, 1),
    "g4": (0, 0, 0, 1),
    "g1 + g2 + g3 + g4": (1, 1, 1, 1),
}


def bindings(coefficients) -> list[str]:
    """What a curve changes in the recipe."""
    return [
        f"coefficients = {coefficients}",
        f"train_shots = {SHOTS * len(coefficients)}",
        f"steps = {_STEPS.value}",
        f"validate.every = {max(1, _STEPS.value // _POINTS.value)}",
        f"validate.tasks = {_TASKS.value}",
        # Held out from training; nothing is chosen by them, and this recipe keeps no others.
        "validate.split = 'test'",
        f"evaluate.tasks = {_TASKS.value}",
        "evaluate.normalizations = ('inductive',)",
        "export.enabled = False",
    ]


def evaluated_step(workdir: Path) -> int | None:
    """The meta-step of a run's evaluation: its last, or that at which it was interrupted."""
    file = workdir / "evaluation.json"
    if not file.is_file():
        return None
    return json.loads(file.read_text(encoding="utf-8"))["protocol"]["step"]


def curve(coefficients) -> list[tuple[int, float]]:
    """(meta-step, accuracy) of a combination on held-out tasks, trained if it is not yet."""
    name = "gradients_" + "".join(map(str, coefficients))
    workdir = Path(_RUNS.value) / name
    train(recipe.read_recipe([RECIPE], bindings(coefficients)), workdir)
    if evaluated_step(workdir) != _STEPS.value:
        # Part of a curve is no curve.
        raise SystemExit(f"Stopped in {workdir}. The same command goes on.")
    events = EventAccumulator(str(workdir / "events"))
    events.Reload()
    # A run that was resumed may have looked twice at a step: the same tasks, the same number.
    points = {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors(TAG)}
    return sorted(points.items())


def draw(document: dict, path: Path) -> None:
    """Accuracy over meta-steps, a line a combination."""
    figure = Figure(figsize=(7.0, 4.4))
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(document["curves"].items()):
        style = "--" if "+" not in name else "-"
        axes.plot(*zip(*points, strict=True), style, color=f"C{number}", marker=".", label=name)
    axes.axhline(20, color="gray", linewidth=0.8, label="chance")
    protocol = document["protocol"]
    axes.set(
        title=f"Omniglot 5-way 5-shot, {protocol['tasks']} held-out tasks a point",
        xlabel=f"meta-step of {protocol['steps']:,} (the paper: 40,000)",
        ylabel="accuracy, %",
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main(_):
    curves = {}
    for name, coefficients in COMBINATIONS.items():
        curves[name] = [(step, round(100 * value, 2)) for step, value in curve(coefficients)]
        print(f"{name}: {curves[name]}", flush=True)
    document = {
        "command": report.command("benchmarks.gradient_combinations", sys.argv[1:]),
        "protocol": {
            "recipe": RECIPE, "steps": _STEPS.value, "paper_steps": 40_000, "seed": 0,
            "metric": "accuracy in %, inductive, 1 query a class, 5 inner steps of SGD at 0.003",
            "tasks": _TASKS.value,
            "interval95": "a task has 5 queries: at most 1.96 * 50 / sqrt(5 tasks) points",
        },
        "machine": report.machine(),
        "curves": curves,
    }  # fmt: skip
    if _WRITE.value:
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        draw(document, RESULT.with_suffix(".png"))


if __name__ == "__main__":
    app.run(main)
