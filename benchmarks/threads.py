"""A recipe's meta-gradient with one thread an operation, and with as many as there are cores.

    python -m benchmarks.threads [--recipes=...] [--write]

The two are processes, which take turns of a few seconds; operations at once are as many as cores
in both. `--write` stores results/benchmarks/threads.json: milliseconds, and the ratio.
"""

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
from tfmeta import config, recipe
from tfmeta.experiment import building

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
    """Answers each line of standard input with the median milliseconds of a turn."""
    tf.config.threading.set_intra_op_parallelism_threads(_WORKER.value)
    tf.config.threading.set_inter_op_parallelism_threads(os.cpu_count())
    with config.configured(recipe.read_recipe([name], [])) as settings:
        building.set_determinism(None)
        strategy = building.make_strategy(None)
        training = building.build_training(settings, strategy, jit_compile=False)
        batch = next(iter(building.train_stream(settings).batch(settings.train.tasks_per_step)))
    training.meta_gradient(batch)
    for _ in sys.stdin:
        times, end = [], time.perf_counter() + _SECONDS.value
        while not times or time.perf_counter() < end:
            began = time.perf_counter()
            training.meta_gradient(batch)
            times.append((time.perf_counter() - began) * 1e3)
        print(float(np.median(times)), flush=True)


def measure(name) -> dict:
    """Milliseconds with one thread and with all, in turns, and their ratio."""
    workers = {threads: _worker(name, threads) for threads in (1, os.cpu_count())}
    times = {threads: [] for threads in workers}
    for _ in range(_ROUNDS.value):
        for threads, process in workers.items():
            process.stdin.write("turn\n")
            process.stdin.flush()
            times[threads].append(float(process.stdout.readline()))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    ratios = [one / all_ for one, all_ in zip(*times.values(), strict=True)]
    return {
        "milliseconds": {str(k): [round(value, 3) for value in v] for k, v in times.items()},
        "ratio_of_one_thread": round(float(np.median(ratios)), 3),
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
    found = {}
    for name in _RECIPES.value:
        found[name] = measure(name)
        print(name, json.dumps(found[name]), flush=True)
    if _WRITE.value:
        report.write_recipes("threads", found)


if __name__ == "__main__":
    app.run(main)
