"""MAML on 2D navigation beside its baselines, and how many trajectories a second are drawn.

    python -m benchmarks.rl_navigation --maml=WORKDIR --pretrained=WORKDIR [--write]

Judges on the same 40 held-out goals: the policy of each work directory (of rl_navigation_maml.gin
and rl_navigation_pretrained.gin, wherever its training stands), the policy that training starts
from, and the best motion there is, which knows the goal (the oracle; it needs no training). All
adapt with the same rates. `--write` stores the figures and a picture of the curves in
results/rl_navigation/.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags
from matplotlib.figure import Figure

from tfmeta import config, evaluation, recipe, rl
from tfmeta.experiment import building, opened
from tfmeta.rl.navigation import best_return

_MAML = flags.DEFINE_string(
    "maml", None, "Work directory of rl_navigation_maml.gin.", required=True
)
_PRETRAINED = flags.DEFINE_string("pretrained", None, "Of rl_navigation_pretrained.gin.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/rl_navigation/.")
FOLDER = Path(__file__).parents[1] / "results" / "rl_navigation"
TASKS, SEED = 40, 1_000_003
BATCHES = 10  # drawn to measure how fast


def stream():
    """The recipe's held-out goals."""
    return rl.environment_tasks(rl.Navigation(), "test", shots=20, seed=SEED)


def judged(name: str, learner, **more) -> dict:
    """Returns after 0 .. 3 updates over the held-out goals."""
    results = evaluation.evaluate_learner(learner, stream(), TASKS, tasks_per_batch=TASKS)
    return {"policy": name, **results["running"]["return"], **more}


def untrained():
    """The learner that the recipe begins with."""
    with config.configured(recipe.read_recipe(["rl_navigation_maml.gin"])) as settings:
        return building.build_learner(settings, tf.distribute.get_strategy())


def oracle() -> dict:
    """The return of the best motion."""
    goals, _ = next(iter(stream().batch(TASKS)))
    returns = best_return(goals[:, 0], rl.Navigation()).numpy()
    spread = 1.96 * returns.std(ddof=1) / np.sqrt(TASKS)
    return {"policy": "best motion", "mean": [float(returns.mean())], "interval95": [float(spread)]}


def trajectories_per_second(learner) -> float:
    """Trajectories of 100 steps that one policy a task draws, 40 tasks of 20, without updates."""
    batches = list(stream().batch(TASKS).take(BATCHES + 1))
    learner.trajectories(batches[0], 0)
    began = time.perf_counter()
    for batch in batches[1:]:
        learner.trajectories(batch, 0)[0].rewards.numpy()
    return BATCHES * TASKS * 20 / (time.perf_counter() - began)


def draw(rows: list[dict], path: Path) -> None:
    """The returns over updates, a line a policy."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        mean, interval = np.array(row["mean"]), np.array(row["interval95"])
        label = row["policy"] + (f", step {row['step']}" if "step" in row else "")
        if len(mean) == 1:
            axes.axhline(mean[0], color="tab:green", linestyle="--", label=label)
            continue
        axes.errorbar(range(len(mean)), mean, interval, marker="o", capsize=3, label=label)
    axes.set(title=f"2D navigation, {TASKS} held-out goals", xlabel="updates", ylabel="return")
    axes.set_xticks(range(4))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main(_):
    rows = []
    for name, workdir in (("MAML", _MAML.value), ("pretrained", _PRETRAINED.value)):
        if workdir:
            with opened(workdir, checkpoint="last") as run:
                rows.append(judged(name, run.learner, step=run.step))
    start = untrained()
    rows += [judged("random initialisation", start), oracle()]
    speed = trajectories_per_second(start)
    for row in rows:
        cells = zip(row["mean"], row["interval95"], strict=True)
        print(f"{row['policy']:<24}", "  ".join(f"{m:8.2f} +- {i:.2f}" for m, i in cells))
    print(f"{speed:.0f} trajectories a second")
    if _WRITE.value:
        document = {
            "command": "python -m benchmarks.rl_navigation --maml=... --pretrained=... --write",
            "protocol": {
                "tasks": TASKS,
                "trajectories": 20,
                "horizon": 100,
                "test_seed": SEED,
                "inner_rates": [0.1, 0.05, 0.05],
            },
            "rows": rows,
            "trajectories_per_second": round(speed),
            "cores": os.cpu_count(),
            "tensorflow": tf.__version__,
        }
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / "returns.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        draw(rows, FOLDER / "returns.png")


if __name__ == "__main__":
    app.run(main)
