"""A meta-step of ANIL, whose head alone adapts, beside one of MAML on the same network.

    python -m benchmarks.anil --write

Second order, 5 ways, 1 shot, 15 queries a class, 5 inner steps, random pixels: Conv4 of Omniglot
(28 x 28, 64 filters, 8 tasks) and of mini-ImageNet (84 x 84, 32 filters, max pooling, 2 tasks).
The two learners take turns; times are medians of processor seconds, all threads together.
`--write` stores results/benchmarks/anil.json.
"""

import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta
from benchmarks import report

_STEPS = flags.DEFINE_integer("steps", 8, "Timed meta-steps of each.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")

WAYS, QUERIES, INNER_STEPS = 5, 75, 5
NETWORKS = {
    "omniglot": ({"image_shape": (28, 28, 1)}, 0.4, 8),
    "mini_imagenet": (
        {
            "image_shape": (84, 84, 3),
            "filters": 32,
            "downsampling": "max_pool",
            "head": "flatten",
        },
        0.01,
        2,
    ),
}


def main(_):
    rows = {}
    for name in NETWORKS:
        rows[name] = measured(name)
        print(name, rows[name], flush=True)
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.anil", sys.argv[1:]),
            "code": report.code_version(),
            "machine": report.machine(),
            "networks": rows,
        }
        report.write("anil.json", document)


def measured(name) -> dict:
    """Median processor seconds of a meta-step of both learners, and their ratio."""
    options, rate, tasks = NETWORKS[name]
    shape = options["image_shape"]
    batch = images(shape, tasks)
    learners = {
        learner: learner_of(options, rate, adapted)
        for learner, adapted in (("maml", None), ("anil", "head/*"))
    }
    for learner in learners.values():
        learner.train_on_batch(*batch)
    times = {key: [] for key in learners}
    for _ in range(_STEPS.value):
        for key, learner in learners.items():
            start = time.process_time()
            learner.train_on_batch(*batch)
            times[key].append(time.process_time() - start)
    ratios = [anil / maml for anil, maml in zip(times["anil"], times["maml"], strict=True)]
    return {
        **{key: round(statistics.median(seconds), 4) for key, seconds in times.items()},
        "ratio": round(statistics.median(ratios), 3),
    }


def learner_of(options, rate, adapted):
    """A compiled learner on a new network of the same weights."""
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.conv4(ways=WAYS, **options)
    learner = tfmeta.MAML(network, rate, INNER_STEPS, adapted=adapted)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(1e-3), loss)
    return learner


def images(shape, tasks):
    """A batch of tasks of random pixels."""
    generator = np.random.default_rng(0)
    inputs, labels = [], []
    for count in (WAYS, QUERIES):
        inputs.append(tf.constant(generator.random((tasks, count, *shape), dtype="float32")))
        labels.append(tf.constant(np.tile(np.arange(count) % WAYS, (tasks, 1)), tf.int32))
    return (inputs[0], labels[0], inputs[1]), labels[1]


if __name__ == "__main__":
    app.run(main)
