"""Reptile's figure: which of the inner gradients carry a meta-step (Nichol et al. 2018, section 6).

    python -m benchmarks.gradient_combinations [--steps=40000] [--runs=runs] [--write]

Trains the recipe omniglot_5way_5shot_reptile_gradients.gin once for each combination of the first
gradients of an inner loop on disjoint minibatches of 25 (5 drawings of 5 characters), the outer
step falling to 0 within `--steps`; what is trained already under `--runs` is used. Along the way
it looks at held-out tasks, and after training at as many others, with intervals over tasks.
`--write` stores both in results/gradient_combinations.json and the picture of the curves beside it.
"""

import json
import sys
from pathlib import Path

from absl import app, flags
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from benchmarks import pictures, report
from tfmeta.runs import recipe, train

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_STEPS = flags.DEFINE_integer("steps", 40_000, "Meta-steps of each curve.", 1)
_POINTS = flags.DEFINE_integer("points", 8, "Points of a curve.", 1)
_TASKS = flags.DEFINE_integer("tasks", 100, "Held-out tasks of a point.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures and the picture in results/.")

RECIPE = "omniglot_5way_5shot_reptile_gradients.gin"
RESULT = report.ROOT / "results" / "gradient_combinations.json"
WAYS = 5
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


def evaluation(workdir: Path) -> dict | None:
    """Of a run to its last step; None where that was interrupted."""
    file = workdir / "evaluation.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if found["protocol"]["step"] == _STEPS.value else None


def curve(coefficients) -> tuple[list[tuple[int, float]], dict]:
    """A combination, trained if it is not yet: points (meta-step, accuracy), and its evaluation."""
    name = "gradients_" + "".join(map(str, coefficients))
    workdir = Path(_RUNS.value) / name
    train(recipe.read_recipe([RECIPE], bindings(coefficients)), workdir)
    evaluated = evaluation(workdir)
    if evaluated is None:
        # Part of a curve is no curve.
        raise SystemExit(f"Stopped in {workdir}. The same command goes on.")
    events = EventAccumulator(str(workdir / "events"))
    events.Reload()
    # A run that was resumed may have looked twice at a step: the same tasks, the same number.
    points = {e.step: percent(make_ndarray(e.tensor_proto)) for e in events.Tensors(TAG)}
    accuracy = evaluated["results"]["inductive"]["accuracy"]
    return sorted(points.items()), {
        key: percent(accuracy[key][-1]) for key in ("mean", "interval95")
    }


def percent(share) -> float:
    """A share as the figures have it."""
    return round(100 * float(share), 2)


def band() -> float:
    """Half of the widest 95 % interval that so many queries have, in points."""
    return 1.96 * 50 / (WAYS * _TASKS.value) ** 0.5


def main(_):
    curves, after_training = {}, {}
    for name, coefficients in COMBINATIONS.items():
        curves[name], after_training[name] = curve(coefficients)
        print(f"{name}: {curves[name]}; {after_training[name]}", flush=True)
    document = {
        "command": report.command("benchmarks.gradient_combinations", sys.argv[1:]),
        "protocol": {
            "recipe": RECIPE, "steps": _STEPS.value, "paper_steps": 40_000, "seed": 0,
            "metric": "accuracy in %, inductive, 1 query a class, 5 inner steps of SGD at 0.003",
            "tasks": _TASKS.value,
            "band": round(band(), 1),
            "note": "curves: the same tasks for all; band: 1.96 * 50 / sqrt(5 tasks), were queries "
            "independent. after_training: as many other tasks, with intervals over tasks",
        },
        "machine": report.machine(),
        "curves": curves,
        "after_training": after_training,
    }  # fmt: skip
    if _WRITE.value:
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        pictures.gradient_combinations(document, RESULT.with_suffix(".png"))


if __name__ == "__main__":
    app.run(main)
