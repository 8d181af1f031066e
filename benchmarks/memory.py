"""Peak memory of a meta-step against the number of inner steps: MAML, rematerialised, iMAML.

    python -m benchmarks.memory --write

Each measurement is a process of its own; its peak resident size less that of a process which
builds the same learner and runs no meta-step. mini-ImageNet's network, 5-way 5-shot, 5 queries a
class, one task of random images: what grows is the tensors of the steps rather than the graph
that describes them. iMAML keeps none, and is asked for more steps.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time

from absl import app, flags

_WRITE = flags.DEFINE_bool("write", False, "Write results/memory.json.")
_ONE = flags.DEFINE_string("one", None, "Run one measurement, `learner/steps`, and print it.")

INNER_STEPS = {
    "maml": (1, 5, 10),
    "maml_rematerialized": (1, 5, 10),
    "imaml": (1, 5, 10, 16, 64),
}


def measure(name, steps):
    """Prints {"peak_mib", "seconds"} of one meta-step; steps 0: of none."""
    import keras
    import tensorflow as tf

    import tfmeta

    tf.config.threading.set_intra_op_parallelism_threads(1)
    shape = (84, 84, 3)
    network = tfmeta.networks.conv4(5, shape, filters=32, downsampling="max_pool", head="flatten")
    options = {"inner_steps": max(steps, 1), "parallel": "sequential"}
    if name == "imaml":
        learner = tfmeta.IMAML(network, **options)
    else:
        remat = name == "maml_rematerialized"
        learner = tfmeta.MAML(network, 0.01, rematerialize=remat, **options)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = tf.random.normal([1, 25, *shape], seed=0), tf.range(25)[tf.newaxis] % 5
    x, y = (images, labels, images), labels
    seconds = 0.0
    if steps:
        learner.meta_gradient(x, y)
        start = time.monotonic()
        learner.meta_gradient(x, y)[0][0].numpy()
        seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": round(peak, 1), "seconds": round(seconds, 3)}))


def run(name, steps):
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", f"--one={name}/{steps}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main(_):
    if _ONE.value:
        name, steps = _ONE.value.split("/")
        measure(name, int(steps))
        return
    table = {}
    for name, numbers in INNER_STEPS.items():
        base = run(name, 0)["peak_mib"]
        for steps in numbers:
            measured = run(name, steps)
            measured["step_mib"] = round(measured.pop("peak_mib") - base, 1)
            table[f"{name}/{steps}"] = measured
            print(f"{name}, {steps} inner steps: {measured}", flush=True)
    if _WRITE.value:
        command = "python -m benchmarks.memory " + " ".join(sys.argv[1:])
        pathlib.Path("results").mkdir(exist_ok=True)
        results = {"command": command, "unit": "MiB above a process without a step", "rows": table}
        pathlib.Path("results/memory.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
