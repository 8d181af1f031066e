"""Shows what plain Keras' second derivatives are off by, beside tfmeta's.

    python -m benchmarks.stock_derivatives [--write]

MAML's meta-gradient after 1, 3 and 5 inner steps, on the Omniglot and the mini-ImageNet network,
in float64, at several random weights. `--write` stores results/stock_derivatives.json.
"""

import dataclasses
import json
import shlex
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.turns import ROOT
from tests.references import problems

_SEEDS = flags.DEFINE_integer("seeds", 3, "Random weights and tasks a network.", 1)
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


def make_network(problem):
    """The problem's network in float64, with its weights."""
    network = tfmeta.networks.conv4(
        problem.ways,
        problem.image_shape,
        filters=problem.filters,
        downsampling="max_pool" if problem.pooled else "stride",
        head="flatten" if problem.pooled else "mean",
        dtype="float64",
    )
    arrays = problem.weights().values()
    for variable, array in zip(network.trainable_variables, arrays, strict=True):
        variable.assign(array)
    return network


def compare(problem, inner_steps):
    """Norm of each difference over the norm of the exact gradient."""
    network, rate = make_network(problem), problem.inner_rate
    batch = problem.batch()
    tasks = [plain_keras(network, rate, inner_steps, t) for t in zip(*batch, strict=True)]
    plain = [np.mean(gradients, axis=0) for gradients in zip(*tasks, strict=True)]
    exact = [np.asarray(value) for value in with_tfmeta(network, rate, inner_steps, batch)]
    by_path = dict(zip(problem.weights(), exact, strict=True))
    norm = _norm(exact)
    row = {
        "network": problem.name,
        "inner_steps": inner_steps,
        "seed": problem.seed,
        "plain_keras": _norm([p - e for p, e in zip(plain, exact, strict=True)]) / norm,
        # The gradient of a bias before batch normalisation is 0.
        "plain_keras_conv_biases": _conv_biases(dict(zip(by_path, plain, strict=True))) / norm,
        "tfmeta_conv_biases": _conv_biases(by_path) / norm,
    }
    if problem in problems.PROBLEMS.values():
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
    lines = [
        f"{'network':<16}{'inner steps':>11}{'plain Keras off by':>26}{'tfmeta from PyTorch':>22}"
    ]
    for name in problems.PROBLEMS:
        for steps in STEPS:
            chosen = [r for r in rows if r["network"] == name and r["inner_steps"] == steps]
            errors = [row["plain_keras"] for row in chosen]
            witness = max(row.get("tfmeta_from_pytorch", 0.0) for row in chosen)
            spread = f"{min(errors):.1%} to {max(errors):.1%}"
            lines.append(f"{name:<16}{steps:>11}{spread:>26}{witness:>22.0e}")
    return "\n".join(lines)


def main(argv):
    del argv
    rows = [
        compare(dataclasses.replace(problem, seed=seed), steps)
        for problem in problems.PROBLEMS.values()
        for seed in range(_SEEDS.value)
        for steps in STEPS
    ]
    print(table(rows))
    if _WRITE.value:
        document = {
            "command": shlex.join(["python", "-m", "benchmarks.stock_derivatives", *sys.argv[1:]]),
            "what": "norm of the difference of MAML's meta-gradient over the exact one's, float64",
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "machine": report.machine(),
            "rows": rows,
        }
        path = ROOT / "results" / "stock_derivatives.json"
        path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
