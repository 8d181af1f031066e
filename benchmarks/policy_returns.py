"""A policy's returns after each update beside its baselines', and how fast trajectories are drawn.

    python -m benchmarks.policy_returns --maml=WORKDIR [--pretrained=WORKDIR] [--oracle=WORKDIR]
        [--write]

Judges on the same 40 held-out tasks: the policy of each work directory (of rl_*_maml.gin,
rl_*_pretrained.gin and rl_*_oracle.gin, wherever its training stands) and the one that training
starts from; for navigation also the best motion there is, which knows the goal and needs no
training. `--write` stores the figures and a picture of the curves in the folder of results/ that
bears the recipe's name without "_maml".
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import pictures
from tfmeta import evaluation, rl
from tfmeta.rl.navigation import best_return
from tfmeta.runs import building, opened, recipe
from tfmeta.runs.recipe import config

_MAML = flags.DEFINE_string("maml", None, "Work directory of rl_*_maml.gin.", required=True)
_PRETRAINED = flags.DEFINE_string("pretrained", None, "Of rl_*_pretrained.gin.")
_ORACLE = flags.DEFINE_string("oracle", None, "Of rl_*_oracle.gin.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures under results/.")
RESULTS = Path(__file__).parents[1] / "results"
TASKS, SEED = 40, 1_000_003
# Of the environment, that all runs must have in common.
_SAME = ("name", "horizon", "shots")


def judged(name: str, learner, stream, **more) -> dict:
    """Returns before the first update and after each, over the held-out tasks."""
    results = evaluation.evaluate_learner(learner, stream, TASKS, tasks_per_batch=TASKS)
    return {"policy": name, **results["running"]["return"], **more}


def held_out(settings):
    """The recipe's held-out tasks."""
    return building.held_out_stream(settings, "test", SEED)


def judged_run(name: str, workdir, protocol: dict) -> dict:
    """The returns of a run where it stands."""
    with opened(workdir, checkpoint="last") as run:
        stream = held_out(run.settings)
        found = {key: stream.info[key] for key in _SAME}
        if found != protocol:
            raise app.UsageError(
                f"Runs must be judged alike, by {protocol}. Received: {workdir} with {found}. "
                "Train it with the same bindings."
            )
        return judged(name, run.learner, stream, step=run.step)


def best_motion(stream) -> dict:
    """The return of the best motion to each goal."""
    goals, _ = next(iter(stream.batch(TASKS)))
    returns = best_return(goals[:, 0], rl.Navigation()).numpy()
    spread = 1.96 * returns.std(ddof=1) / np.sqrt(TASKS)
    return {"policy": "best motion", "mean": [float(returns.mean())], "interval95": [float(spread)]}


def trajectories_per_second(learner, stream, batches: int = 3) -> float:
    """Whole trajectories that one policy a task draws, without updates."""
    drawn = list(stream.batch(TASKS).take(batches + 1))
    learner.trajectories(drawn[0], 0)
    began = time.perf_counter()
    for batch in drawn[1:]:
        learner.trajectories(batch, 0)[0].rewards.numpy()
    return batches * TASKS * stream.info["shots"] / (time.perf_counter() - began)


def write(document: dict, folder: Path) -> None:
    """Stores the figures and the picture of them."""
    folder.mkdir(exist_ok=True)
    (folder / "returns.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    pictures.returns(document, folder / "returns.png")


def main(_):
    with opened(_MAML.value, checkpoint="last") as run:
        own = recipe.parse_recipe(run.settings.config, run.settings.recipe)
        stream = held_out(run.settings)
    protocol = {key: stream.info[key] for key in _SAME}
    runs = {"MAML": _MAML.value, "pretrained": _PRETRAINED.value, "oracle": _ORACLE.value}
    rows = [judged_run(name, workdir, protocol) for name, workdir in runs.items() if workdir]
    with config.configured(own) as settings:
        start = building.build_learner(settings, tf.distribute.get_strategy())
    rows.append(judged("random initialisation", start, stream))
    if protocol["name"] == rl.Navigation.name:
        rows.append(best_motion(stream))
    for row in rows:
        cells = zip(row["mean"], row["interval95"], strict=True)
        print(f"{row['policy']:<24}", "  ".join(f"{m:8.2f} +- {i:.2f}" for m, i in cells))
    speed = trajectories_per_second(start, stream)
    print(f"{speed:.0f} trajectories a second")
    if _WRITE.value:
        given = [f"--{name.lower()}=..." for name, workdir in runs.items() if workdir]
        document = {
            "command": f"python -m benchmarks.policy_returns {' '.join(given)} --write",
            "protocol": {
                **protocol,
                "tasks": TASKS,
                "test_seed": SEED,
                "inner_rates": list(start.test_inner_rates),
            },
            "rows": rows,
            "trajectories_per_second": round(speed),
            "cores": os.cpu_count(),
            "tensorflow": tf.__version__,
        }
        write(document, RESULTS / own.name.removesuffix("_maml"))


if __name__ == "__main__":
    app.run(main)
