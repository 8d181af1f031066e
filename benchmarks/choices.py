"""Whether a run chooses well how it computes its meta-gradient.

    python -m benchmarks.choices [--recipes=...] [--write]

For each recipe, in a process of its own with the recipe's threads, the choice that `tfmeta.train`
makes before step 1 is made several times, with its own short trial; then every execution is timed
at greater length, in turns. `--write` keeps each recipe's row in results/benchmarks/choices.json,
beside those of earlier calls: what was chosen how often, what it cost, and its step in times of the
fastest execution's.
"""

import collections
import json
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import report
from benchmarks.turns import ROOT
from tfmeta.runs import building, recipe
from tfmeta.runs.choices import Execution, choose
from tfmeta.runs.recipe import config

RECIPES = (
    "sinusoid_maml.gin",
    "omniglot_5way_1shot_maml.gin",
    "omniglot_5way_1shot_reptile.gin",
    "omniglot_5way_1shot_imaml.gin",
    "mini_imagenet_5way_1shot_maml.gin",
)
EXECUTIONS = (
    Execution(False, "vectorized"),
    Execution(False, "sequential"),
    Execution(True, "vectorized"),
)

_RECIPES = flags.DEFINE_list("recipes", list(RECIPES), "Which recipes.")
_RUNS = flags.DEFINE_integer("runs", 5, "How often the choice is made.", 1)
_SECONDS = flags.DEFINE_float("seconds", 20, "Time for each execution, at the end.", 0)
_WORKER = flags.DEFINE_bool("worker", False, "For the processes that this starts.")
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")


def measure(name) -> dict:
    """The choices of a recipe, and what each execution takes."""
    with config.configured(recipe.read_recipe([name], [])) as settings:
        building.set_threads(settings.run.intra_op_threads)
        building.set_determinism(None)
        strategy = building.make_strategy(None)
        made = [_timed_choice(settings, strategy) for _ in range(_RUNS.value)]
        seconds = time_executions(
            settings, strategy, {*EXECUTIONS, *(execution for execution, _, _ in made)}
        )
    best = min(seconds.values())
    return {
        "milliseconds": {
            str(execution): round(value * 1e3, 3) for execution, value in seconds.items()
        },
        "chosen": dict(collections.Counter(str(execution) for execution, _, _ in made)),
        "worst_choice_to_best": round(
            max(seconds[execution] for execution, _, _ in made) / best, 3
        ),
        "seconds_to_choose": [round(took, 1) for _, took, _ in made],
        "reasons": [reason for _, _, reason in made],
    }


def _timed_choice(settings, strategy):
    began = time.perf_counter()
    chosen = choose(settings, strategy)
    return chosen.execution, time.perf_counter() - began, chosen.reason


def time_executions(settings, strategy, candidates) -> dict:
    """Median seconds of a meta-gradient by each execution that TensorFlow can run, in turns."""
    batch = next(iter(building.train_stream(settings).batch(settings.train.tasks_per_step)))
    executions, turns = {}, collections.defaultdict(list)
    for execution in sorted(candidates):
        try:
            executions[execution] = building.build_training(settings, strategy, *execution)
            executions[execution].meta_gradient(batch)
        except (tf.errors.OpError, ValueError, NotImplementedError) as error:
            executions.pop(execution, None)
            print(f"{execution}: {str(error)[:100]}", file=sys.stderr)
    if not executions:
        raise SystemExit("TensorFlow can run none of the executions; its messages stand above.")
    end = time.perf_counter() + _SECONDS.value * len(executions)
    while time.perf_counter() < end or not turns:
        for execution, training in executions.items():
            began = time.perf_counter()
            training.meta_gradient(batch)
            turns[execution].append(time.perf_counter() - began)
    return {execution: float(np.median(found)) for execution, found in turns.items()}


def measured_apart(name) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.choices", "--worker", f"--recipes={name}"]
    command += [f"--runs={_RUNS.value}", f"--seconds={_SECONDS.value}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


def main(_):
    if _WORKER.value:
        print(json.dumps(measure(_RECIPES.value[0])))
        return
    for name in _RECIPES.value:
        row = measured_apart(name)
        print(name, json.dumps(row, indent=1), flush=True)
        if _WRITE.value:
            report.keep_recipe("choices", name, row)


if __name__ == "__main__":
    app.run(main)
