"""T-net and MT-net beside MAML on sinusoids, at equal numbers of meta-steps.

    python -m benchmarks.sinusoid_metric [--steps=10000] [--seeds=2] [--runs=runs] [--write]

Trains sinusoid_maml.gin, sinusoid_tnet.gin and sinusoid_mtnet.gin, which differ in nothing but the
matrices and masks, each with the first `--seeds` seeds; what is trained already under `--runs` is
used. All are judged on the same held-out tasks, with the last checkpoint. `--write` stores the
errors in results/sinusoid_metric.json.
"""

import json
import sys
from pathlib import Path

from absl import app, flags

from benchmarks import report
from benchmarks.whole_runs import train_whole

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_STEPS = flags.DEFINE_integer("steps", 10_000, "Meta-steps.", 1)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of training: 0, 1, ...", 1)
_TASKS = flags.DEFINE_integer("tasks", 2000, "Held-out tasks.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/sinusoid_metric.json.")

RESULT = report.ROOT / "results" / "sinusoid_metric.json"
RECIPES = {"MAML": "sinusoid_maml", "T-net": "sinusoid_tnet", "MT-net": "sinusoid_mtnet"}
SHOTS, SHOWN = (5, 10), (0, 1, 5, 10)
METRIC = "mean_squared_error"


def evaluations(name: str, seed: int) -> dict[int, dict]:
    """By shots, the evaluation of a recipe, trained if it is not yet."""
    workdir = Path(_RUNS.value) / f"{name}_{_STEPS.value}_seed{seed}"
    params = [
        f"train.steps = {_STEPS.value}",
        f"train.seed = {seed}",
        f"evaluate.tasks = {_TASKS.value}",
        f"evaluate.shots = {SHOTS}",
        "evaluate.checkpoint = 'last'",
        "validate.every = 0",
        "export.enabled = False",
    ]
    train_whole(f"{name}.gin", params, workdir)
    files = ["evaluation.json", *(f"evaluation_{shots}shot.json" for shots in SHOTS[1:])]
    found = [json.loads((workdir / file).read_text(encoding="utf-8")) for file in files]
    return dict(zip(SHOTS, found, strict=True))


def row(training: str, seed: int, shots: int, evaluation: dict) -> dict:
    """One line of the result, which is printed too."""
    summary = evaluation["results"]["transductive"][METRIC]
    kept = {key: [summary[key][s] for s in SHOWN] for key in ("mean", "interval95", "median")}
    cells = [f"{m:.3f} +- {i:.3f}" for m, i in zip(kept["mean"], kept["interval95"], strict=True)]
    print(f"K = {shots:<3} {training:<7} seed {seed}   {'   '.join(cells)}", flush=True)
    diverged = summary["diverged"]
    return {"training": training, "seed": seed, "shots": shots, **kept, "diverged": diverged}


def main(_):
    rows = [
        row(training, seed, shots, evaluation)
        for training, name in RECIPES.items()
        for seed in range(_SEEDS.value)
        for shots, evaluation in evaluations(name, seed).items()
    ]
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.sinusoid_metric", sys.argv[1:]),
            "protocol": {
                "metric": METRIC, "steps": _STEPS.value, "tasks_per_step": 25, "inner_rate": 0.01,
                "inner_steps": SHOWN, "tasks": _TASKS.value, "checkpoint": "last",
                "network": "1-40-40-1, ReLU; T-net and MT-net with a matrix behind each layer",
            },
            "machine": report.machine(),
            "rows": rows,
        }  # fmt: skip
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
