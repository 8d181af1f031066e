"""A frozen backbone whose head adapts: served adaptation, time to the first step, the export.

    python -m benchmarks.trunk --write

MobileNetV3Small, 96 x 96, without pretrained weights, frozen, with averages set by one pass so
that features are not 0; its head adapts at a fixed rate, in second order. A task has 25 support
images and 5 queries. Each part runs in a fresh process with --threads threads:

- `served`: `adapt_and_predict_with` of the SavedModel, loaded in the process, at 1, 20 and 50
  steps, and the network's own forward pass of the same 30 images. All take turns, so that other
  load on the machine falls on all; ratios are of each turn, with their median and quartiles.
- `first_step`: from the call of `fit` to the end of its first step of 4 tasks and 5 inner steps.
- `export`: from the call of `export` to its end, and bytes of what it wrote.

Processor time is that of all threads. Another process on the machine hardly changes it, while
wall time is only worth something on an idle machine. --notrunk computes every layer at every
step instead. `--write` stores results/benchmarks/trunk.json.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

_PART = flags.DEFINE_enum("part", None, ["served", "first_step", "export"], "For a process.")
_TRUNK = flags.DEFINE_bool("trunk", True, "Compute the trunk once.")
_TURNS = flags.DEFINE_integer("turns", 20, "Turns of what is served.", 1)
_PROCESSES = flags.DEFINE_integer("processes", 3, "Processes of the other parts.", 1)
_THREADS = flags.DEFINE_integer("threads", 2, "Of each process.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")

SIZE, SUPPORT, QUERIES, WAYS, TASKS = 96, 25, 5, 5, 4
STEPS = (1, 20, 50)
GOALS = {
    "20 steps, of 1 step": 1.3,
    "20 steps, of the forward pass": 1.5,
    "first step, seconds": 4,
    "export, seconds": 12,
    "export, bytes beyond twice the weights": 2e6,
}


def main(argv):
    del argv
    if _PART.value:
        print(json.dumps(PARTS[_PART.value]()))
        return
    from benchmarks import report

    document = {
        "command": report.command("benchmarks.trunk", sys.argv[1:]),
        "code": report.code_version(),
        "machine": report.machine(),
        "threads": _THREADS.value,
        "load_average_before": os.getloadavg()[0],
        "trunk": _TRUNK.value,
        "goals": GOALS,
        "served": run("served"),
        "first_step": [run("first_step") for _ in range(_PROCESSES.value)],
        "export": [run("export") for _ in range(_PROCESSES.value)],
    }
    document["load_average_after"] = os.getloadavg()[0]
    for name, row in document["served"].items():
        print(name, row)
    for part in ("first_step", "export"):
        for row in document[part]:
            print(part, row)
    if _WRITE.value:
        report.write("trunk.json", document)


def run(part) -> dict:
    """What a part measured in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.trunk", f"--part={part}"]
    command += [f"--trunk={_TRUNK.value}", f"--turns={_TURNS.value}"]
    command += [f"--threads={_THREADS.value}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


class Stopwatch:
    """Seconds of the clock and of the processor since it was made."""

    def __init__(self):
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict:
        return {
            "wall_seconds": round(time.perf_counter() - self._wall, 4),
            "processor_seconds": round(time.process_time() - self._processor, 4),
        }


def first_step() -> dict:
    learner = make_learner()
    support_x, support_y, query_x, query_y = images(TASKS)
    data = ((support_x, support_y, query_x), query_y)
    watch = Stopwatch()
    learner.fit(*data, batch_size=TASKS, epochs=1, shuffle=False, verbose=0)
    found = watch.read()
    watch = Stopwatch()
    learner.fit(*data, batch_size=TASKS, epochs=1, shuffle=False, verbose=0)
    return {**found, "another_epoch": watch.read()}


def export() -> dict:
    learner = make_learner()
    weights = 4 * learner.network.count_params()
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        path = pathlib.Path(learner.export(folder))
        found = watch.read()
        files = {
            str(file.relative_to(path)): file.stat().st_size
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    total = sum(files.values())
    beyond = total - 2 * weights
    return {**found, "bytes": total, "beyond_twice_the_weights": beyond, "files": files}


def served() -> dict:
    import tensorflow as tf

    learner = make_learner()
    support_x, support_y, query_x, _ = (tensor[0] for tensor in images(1))
    both = tf.concat([support_x, query_x], 0)
    with tempfile.TemporaryDirectory() as folder:
        signatures = tf.saved_model.load(learner.export(folder, warmup_sizes=[])).signatures
        adapt = signatures["adapt_and_predict_with"]
        network = learner.network
        forward = tf.function(lambda x: network(x, training=False), autograph=False)
        request = {
            "support_inputs": support_x,
            "support_targets": support_y,
            "query_inputs": query_x,
            "inner_rate_scale": tf.constant(1.0),
        }
        calls = {"forward pass": lambda: forward(both)}
        for steps in STEPS:
            count = tf.constant(steps)
            calls[f"{steps} steps"] = lambda n=count: adapt(**request, inner_steps=n)
        for call in calls.values():
            call()
        times = {name: [] for name in calls}
        for _ in range(_TURNS.value):
            for name, call in calls.items():
                watch = Stopwatch()
                call()
                times[name].append(watch.read())
    return {name: row(name, times) for name in calls}


def row(name, times) -> dict:
    """Median times of a call, and its ratios to the others of the same turn."""
    found = {}
    for unit in ("wall_seconds", "processor_seconds"):
        seconds = {key: np.array([t[unit] for t in rows]) for key, rows in times.items()}
        found[unit] = round(float(np.median(seconds[name])), 4)
        for other in ("forward pass", "1 steps"):
            ratios = seconds[name] / seconds[other]
            found[f"{unit}, of {other}"] = np.percentile(ratios, [25, 50, 75]).round(3).tolist()
    return found


def make_learner():
    """The learner, compiled."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import dataclasses

    import keras
    import tensorflow as tf

    import tfmeta

    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV3Small(
        input_shape=(SIZE, SIZE, 3), weights=None, include_top=False, pooling="avg"
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(images(1)[0][0], training=True)
    backbone.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    network = keras.Model(inputs, keras.layers.Dense(WAYS, name="head")(backbone(inputs)))
    learner = tfmeta.MAML(
        network, 0.01, 5, adapted="head/*", normalization="running", test_inner_steps=5
    )
    if not _TRUNK.value:
        learner.task_network = dataclasses.replace(learner.task_network, trunk=None)
    learner.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return learner


def images(tasks):
    """Support inputs and labels, query inputs and labels, each with a task axis."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    sets = []
    for count in (SUPPORT, QUERIES):
        pixels = generator.uniform(0, 255, (tasks, count, SIZE, SIZE, 3))
        labels = np.tile(np.arange(count) % WAYS, (tasks, 1))
        sets += [tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32)]
    return sets


PARTS = {"served": served, "first_step": first_step, "export": export}

if __name__ == "__main__":
    app.run(main)
