"""A recipe's meta-gradient with one thread an operation, and with as many as there are cores.

Each by vectorised tasks and, where tasks do not depend on each other, by tasks computed apart.

    python -m benchmarks.threads [--recipes=...] [--write]

The two are processes, which take turns of a few seconds; operations at once are as many as cores
in both. `--write` keeps each recipe's row in results/benchmarks/threads.json, beside those of
earlier calls: milliseconds, and the ratio of the fastest execution with one thread to the fastest
with all.
"""

import collections
import json
import os
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import report
from benchmarks.turns import ROOT
from tfmeta.runs import building, recipe
from tfmeta.runs.recipe import config

RECIPES = (
    "sinusoid_maml.gin",
    "sinusoid_reptile.gin",
    "omniglot_5way_1shot_maml.gin",
    "omniglot_20way_1shot_maml.gin",
    "omniglot_5way_1shot_imaml.gin",
    "omniglot_5way_1shot_reptile.gin",
    "omniglot_20way_1shot_reptile.gin",
    "mini_imagenet_5way_1shot_maml.gin",
    "mini_imagenet_5way_1shot_reptile.gin",
)

_RECIPES = flags.DEFINE_list("recipes", list(RECIPES), "Which recipes.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", 1)
_SECONDS = flags.DEFINE_float("seconds", 4.0, "Of a turn.", 0)
_WORKER = flags.DEFINE_integer("worker", None, "For the processes that this starts.")
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")


def work(name):
    """Answers each line of standard input with median milliseconds by execution."""
    tf.config.threading.set_intra_op_parallelism_threads(_WORKER.value)
    tf.config.threading.set_inter_op_parallelism_threads(os.cpu_count())
    with config.configured(recipe.read_recipe([name], [])) as settings:
        building.set_determinism(None)
        strategy = building.make_strategy(None)
        executions = {"vectorized": building.build_training(settings, strategy, False)}
        if not executions["vectorized"].learner.chains_state:
            executions["sequential"] = building.build_training(
                settings, strategy, False, "sequential"
            )
        batch = next(iter(building.train_stream(settings).batch(settings.train.tasks_per_step)))
    for training in executions.values():
        training.meta_gradient(batch)
    for _ in sys.stdin:
        print(
            json.dumps(
                {execution: _median(executions[execution], batch) for execution in executions}
            ),
            flush=True,
        )


def _median(training, batch) -> float:
    times, end = [], time.perf_counter() + _SECONDS.value
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        training.meta_gradient(batch)
        times.append((time.perf_counter() - began) * 1e3)
    return float(np.median(times))


def measure(name) -> dict:
    """Milliseconds with one thread and with all, in turns, and the ratio of the fastest ones."""
    workers = {threads: _worker(name, threads) for threads in (1, os.cpu_count())}
    times = {threads: collections.defaultdict(list) for threads in workers}
    for _ in range(_ROUNDS.value):
        for threads, process in workers.items():
            process.stdin.write("turn\n")
            process.stdin.flush()
            for execution, milliseconds in json.loads(process.stdout.readline()).items():
                times[threads][execution].append(round(milliseconds, 3))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    one, all_ = (min(map(np.median, executions.values())) for executions in times.values())
    return {
        "milliseconds": {str(threads): executions for threads, executions in times.items()},
        "ratio_of_one_thread": round(float(one / all_), 3),
    }


def _worker(name, threads):
    command = [sys.executable, "-m", "benchmarks.threads", f"--recipes={name}"]
    command += [f"--worker={threads}", f"--seconds={_SECONDS.value}"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def main(_):
    if _WORKER.value is not None:
        work(_RECIPES.value[0])
        return
    for name in _RECIPES.value:
        row = measure(name)
        print(name, json.dumps(row), flush=True)
        if _WRITE.value:
            report.keep_recipe("threads", name, row)


if __name__ == "__main__":
    app.run(main)
