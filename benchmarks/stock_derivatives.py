"""Shows what plain Keras' second derivatives are off by, beside tfmeta's.

    python -m benchmarks.stock_derivatives [--write]

MAML's meta-gradient after 1, 3 and 5 inner steps, on the Omniglot and the mini-ImageNet network,
in float64: on real tasks at Keras' own initialisation (left out where the data are not there), and
on the random tasks and weights of the stored reference values. `--write` stores
results/stock_derivatives.json.
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.turns import ROOT
from tests.references import problems

_SEEDS = flags.DEFINE_integer("seeds", 3, "Initialisations and tasks a network.", 1)
_TASKS = flags.DEFINE_list("tasks", ["real", "random"], "Of real, random.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/stock_derivatives.json.")
STEPS = (1, 3, 5)


def plain_keras(network, inner_rate, inner_steps, task):
    """MAML's meta-gradient of one task as a TensorFlow user would write it, without tfmeta."""
    support_x, support_y, query_x, query_y = task
    state = [variable.value for variable in network.non_trainable_variables]
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")

    def loss(weights, images, labels):
        logits, _ = network.stateless_call(weights, state, images, training=True)
        return loss_function(labels, logits)

    initial = [variable.value for variable in network.trainable_variables]
    with tf.GradientTape() as outer:
        outer.watch(initial)
        weights = initial
        for _ in range(inner_steps):
            with tf.GradientTape() as inner:
                inner.watch(weights)
                support_loss = loss(weights, support_x, support_y)
            gradients = inner.gradient(support_loss, weights)
            weights = [w - inner_rate * g for w, g in zip(weights, gradients, strict=True)]
        query_loss = loss(weights, query_x, query_y)
    return outer.gradient(query_loss, initial)


def with_tfmeta(network, inner_rate, inner_steps, batch):
    """The same by tfmeta, mean over tasks."""
    learner = tfmeta.MAML(network, inner_rate, inner_steps, parallel="sequential")
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    support_x, support_y, query_x, query_y = batch
    return learner.meta_gradient((support_x, support_y, query_x), query_y)[0]


def make_network(problem, weights="random"):
    """The problem's network in float64, with its random weights or as Keras initialises them."""
    keras.utils.set_random_seed(problem.seed)
    network = tfmeta.networks.conv4(
        problem.ways,
        problem.image_shape,
        filters=problem.filters,
        downsampling="max_pool" if problem.pooled else "stride",
        head="flatten" if problem.pooled else "mean",
        dtype="float64",
    )
    if weights == "random":
        arrays = problem.weights().values()
        for variable, array in zip(network.trainable_variables, arrays, strict=True):
            variable.assign(array)
    return network


def real_batch(problem):
    """Tasks of the data set that the problem is named after."""
    options = {"allow_missing_classes": True} if problem.name == "mini_imagenet" else {}
    source = getattr(tfmeta.tasks, problem.name)
    sizes = {name: getattr(problem, name) for name in ("ways", "shots", "queries", "seed")}
    (support_x, support_y, query_x), query_y = next(
        iter(source("train", **sizes, **options).batch(problem.tasks))
    )
    return tuple(tensor.numpy() for tensor in (support_x, support_y, query_x, query_y))


def compare(problem, inner_steps, tasks="random"):
    """Norm of each difference over the norm of the exact gradient."""
    network, rate = make_network(problem, tasks), problem.inner_rate
    batch = real_batch(problem) if tasks == "real" else problem.batch()
    parts = [plain_keras(network, rate, inner_steps, task) for task in zip(*batch, strict=True)]
    plain = [np.mean(gradients, axis=0) for gradients in zip(*parts, strict=True)]
    exact = [np.asarray(value) for value in with_tfmeta(network, rate, inner_steps, batch)]
    by_path = dict(zip(problem.weights(), exact, strict=True))
    norm = _norm(exact)
    row = {
        "network": problem.name,
        "tasks": tasks,
        "inner_steps": inner_steps,
        "inner_rate": rate,
        "seed": problem.seed,
        "plain_keras": _norm([p - e for p, e in zip(plain, exact, strict=True)]) / norm,
        # The gradient of a bias before batch normalisation is 0.
        "plain_keras_conv_biases": _conv_biases(dict(zip(by_path, plain, strict=True))) / norm,
        "tfmeta_conv_biases": _conv_biases(by_path) / norm,
    }
    if tasks == "random" and problem in problems.PROBLEMS.values():
        stored = problems.stored(problem.name)[f"maml_{inner_steps}"]
        prints = {path: problems.fingerprint(path, value) for path, value in by_path.items()}
        received = {"query_loss": stored["query_loss"], "gradient": prints}
        row["tfmeta_from_pytorch"] = problems.case_distance(received, stored)
    return row


def _norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(array)) for array in arrays)))


def _conv_biases(by_path):
    return _norm([v for p, v in by_path.items() if p.startswith("conv_") and p.endswith("bias")])


def table(rows):
    """A line a network, kind of task and number of steps; the range over seeds."""
    lines = [
        f"{'network':<15}{'tasks':<8}{'inner steps':>11}{'plain Keras off by':>24}"
        f"{'tfmeta from PyTorch':>21}"
    ]
    groups = {}
    for row in rows:
        groups.setdefault((row["network"], row["tasks"], row["inner_steps"]), []).append(row)
    for (network, tasks, steps), group in groups.items():
        errors = [row["plain_keras"] for row in group]
        witnesses = [row["tfmeta_from_pytorch"] for row in group if "tfmeta_from_pytorch" in row]
        witness = f"{max(witnesses):.0e}" if witnesses else ""
        spread = f"{min(errors):.1%} to {max(errors):.1%}"
        lines.append(f"{network:<15}{tasks:<8}{steps:>11}{spread:>24}{witness:>21}")
    return "\n".join(lines)


def measure(problem, tasks):
    """Rows of all seeds and steps, or none where the data are not there."""
    rows = []
    for seed in range(_SEEDS.value):
        for steps in STEPS:
            try:
                rows.append(compare(dataclasses.replace(problem, seed=seed), steps, tasks))
            except (FileNotFoundError, ValueError) as error:
                if tasks == "random":
                    raise
                print(f"{problem.name}: real tasks left out, {error}")
                return []
    return rows


def main(argv):
    del argv
    rows = []
    for problem in problems.PROBLEMS.values():
        for tasks in _TASKS.value:
            rows += measure(problem, tasks)
    print(table(rows))
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.stock_derivatives", sys.argv[1:]),
            "what": "norm of the difference of MAML's meta-gradient over the exact one's, float64",
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "machine": report.machine(),
            "rows": rows,
        }
        path = ROOT / "results" / "stock_derivatives.json"
        path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
