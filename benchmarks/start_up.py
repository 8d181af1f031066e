"""From the start of a process to its second meta-step: where the seconds go.

    python -m benchmarks.start_up --write

A fresh process each time, second-order MAML with 1 inner step, on random tasks of the shapes of
sinusoids (25 tasks, K = 10) and of Omniglot (5-way 1-shot, 32 tasks, 1 query a class); medians
with quartiles of --repeats processes. `--write` stores results/benchmarks/start_up.json.
"""

import json
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

_REPEATS = flags.DEFINE_integer("repeats", 5, "Processes of each network.", 1)
_THREADS = flags.DEFINE_integer("threads", 2, "Of each process.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")
_STARTED = flags.DEFINE_float("started", None, "For a measured process: when it was started.")
_NETWORK = flags.DEFINE_enum("network", None, ["sinusoid", "omniglot"], "For a measured process.")

# What is done at the end of each stage, in order; seconds are since the process was started.
STAGES = ("interpreter", "imports", "learner", "traced", "first_step", "second_step")
# [T, N, ...] of inputs and of targets (None: labels below 5), support and query alike.
SHAPES = {
    "sinusoid": ((25, 10, 1), (25, 10, 1)),
    "omniglot": ((32, 5, 28, 28, 1), None),
}


def main(argv):
    del argv
    if _NETWORK.value:
        measure(_NETWORK.value, _STARTED.value)
        return
    from benchmarks import report

    networks = {}
    for network in SHAPES:
        runs = [run(network) for _ in range(_REPEATS.value)]
        networks[network] = {stage: summary([r[stage] for r in runs]) for stage in STAGES}
        for stage, row in networks[network].items():
            low, high = row["quartiles"]
            print(f"{network} {stage}: {row['median']:.2f} s ({low:.2f} to {high:.2f})")
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.start_up", sys.argv[1:]),
            "code": report.code_version(),
            "machine": report.machine(),
            "threads": _THREADS.value,
            "unit": "seconds since the process was started, at the end of each stage",
            "networks": networks,
        }
        report.write("start_up.json", document)


def run(network) -> dict:
    """Seconds at the end of each stage of one fresh process."""
    command = [sys.executable, "-m", "benchmarks.start_up", f"--network={network}"]
    command += [f"--threads={_THREADS.value}", f"--started={time.time()!r}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(seconds) -> dict:
    return {
        "median": float(np.median(seconds)),
        "quartiles": np.percentile(seconds, [25, 75]).tolist(),
        "seconds": np.round(seconds, 3).tolist(),
    }


def measure(network, started):
    """Goes through the stages, and prints when each was done."""
    done = {}

    def mark(stage):
        done[stage] = time.time() - started

    mark("interpreter")
    import keras
    import tensorflow as tf

    import tfmeta

    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
    make_learner = tfmeta.MAML
    mark("imports")
    if network == "sinusoid":
        learner = make_learner(tfmeta.networks.mlp(), 0.01)
        loss = keras.losses.MeanSquaredError()
    else:
        learner = make_learner(tfmeta.networks.conv4(ways=5), 0.4)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(1e-3), loss)
    mark("learner")
    data = random_tasks(network)
    step = tf.function(learner.train_step, autograph=False)
    step.get_concrete_function(data)
    mark("traced")
    for stage in ("first_step", "second_step"):
        float(step(data)["loss"])
        mark(stage)
    print(json.dumps(done))


def random_tasks(network):
    """((support_x, support_y, query_x), query_y)."""
    import tensorflow as tf

    inputs, targets = SHAPES[network]
    generator = np.random.default_rng(0)

    def examples():
        x = tf.constant(generator.random(inputs), tf.float32)
        if targets is None:
            return x, tf.tile(tf.range(inputs[1])[tf.newaxis], [inputs[0], 1])
        return x, tf.constant(generator.random(targets), tf.float32)

    support, query = examples(), examples()
    return (*support, query[0]), query[1]


if __name__ == "__main__":
    app.run(main)
