"""The leading terms of three meta-gradients, checked as the inner rate goes to 0.

    python -m benchmarks.reptile_expansion [--write]

Nichol et al. 2018, section 5.1: for k minibatches of a task, in every order, and inner rate a,

    E[MAML]             =   AvgGrad - 2 (k - 1)     a AvgGradInner + O(a^2)
    E[first-order MAML] =   AvgGrad -   (k - 1)     a AvgGradInner + O(a^2)
    E[Reptile]          = k AvgGrad - k (k - 1) / 2 a AvgGradInner + O(a^2)

with AvgGrad the mean of the minibatches' gradients g_i at the initialisation and AvgGradInner the
mean of H_i g_j over pairs of different ones. MAML descends k - 1 minibatches and takes the loss of
the k-th; Reptile, here divided by a, descends all k. A tanh network in float64; the orders are the
tasks of one batch, all k! of them, so the expectation is exact and what is left is the O(a^2).
`--write` stores coefficients and residuals in results/reptile_expansion.json and draws them.
"""

import itertools
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from matplotlib.figure import Figure

import tfmeta
from benchmarks import report

_WRITE = flags.DEFINE_bool("write", False, "Store the figures and the picture in results/.")

RESULT = report.ROOT / "results" / "reptile_expansion.json"
RATES = tuple(0.1 * 2.0**-n for n in range(7))
MINIBATCHES = (2, 3, 4)
SIZE = 5  # examples of a minibatch
# Of each meta-gradient: how often it has AvgGrad, and c of - c a AvgGradInner, both functions of k.
TERMS = {
    "MAML": (lambda k: 1, lambda k: 2 * (k - 1)),
    "first-order MAML": (lambda k: 1, lambda k: k - 1),
    "Reptile": (lambda k: k, lambda k: k * (k - 1) / 2),
}


class InOrder:
    """Mixin of learners: inner step i descends the i-th minibatch of the support set."""

    def _inner_examples(self, index, support, key, training):
        rows = index * SIZE + tf.range(SIZE)
        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else tf.gather(tensor, rows), support
        )


class OrderedMAML(InOrder, tfmeta.MAML):
    pass


class OrderedReptile(InOrder, tfmeta.Reptile):
    pass


def learner_of(name: str, network, k: int, rate: float):
    """The learner of one of `TERMS`, compiled."""
    if name == "Reptile":
        learner = OrderedReptile(network, rate, k, inner_optimizer="sgd", batch_size=SIZE)
    else:
        learner = OrderedMAML(network, rate, k - 1, first_order=name != "MAML")
    learner.compile(keras.optimizers.SGD(), "mse")
    return learner


def small_network():
    """tanh, 2-4-2, float64."""
    keras.utils.set_random_seed(3)
    options = {"activation": "tanh", "dtype": "float64"}
    network = tfmeta.networks.mlp(hidden=(4,), outputs=2, input_dim=2, **options)
    rng = np.random.default_rng(3)
    for variable in network.trainable_variables:
        variable.assign(variable.numpy() + 0.3 * rng.normal(size=variable.shape))
    return network


def minibatches(k: int):
    """Inputs and targets [k, SIZE, 2] of one task."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(k, SIZE, 2)), rng.normal(size=(k, SIZE, 2))


def mean_meta_gradient(name: str, k: int, rate: float) -> np.ndarray:
    """E over all orders of the minibatches, flat; Reptile's divided by the rate."""
    inputs, targets = minibatches(k)
    orders = np.array(list(itertools.permutations(range(k))))
    x, y = (part[orders] for part in (inputs, targets))  # [k!, k, SIZE, 2]
    # What MAML takes as queries Reptile descends last.
    support = k if name == "Reptile" else k - 1
    support_x, support_y = (part[:, :support].reshape(len(orders), -1, 2) for part in (x, y))
    learner = learner_of(name, small_network(), k, rate)
    gradient, _ = learner.meta_gradient((support_x, support_y, x[:, -1]), y[:, -1])
    flat = np.concatenate([np.ravel(part) for part in gradient])
    return flat / rate if name == "Reptile" else flat


def averages(k: int) -> tuple[np.ndarray, np.ndarray]:
    """AvgGrad and AvgGradInner, from plain tapes through the network written out."""
    weights = [tf.constant(v.numpy()) for v in small_network().trainable_variables]
    inputs, targets = minibatches(k)

    def gradient(index):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            kernel, bias, head, head_bias = weights
            outputs = tf.tanh(inputs[index] @ kernel + bias) @ head + head_bias
            loss = tf.reduce_mean(tf.square(outputs - targets[index]))
        return tape.gradient(loss, weights)

    def product(index, vector):
        """H_index times the vector."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            slope = tf.add_n(
                [tf.reduce_sum(g * v) for g, v in zip(gradient(index), vector, strict=True)]
            )
        return tape.gradient(slope, weights)

    def flat(tensors):
        return np.concatenate([np.ravel(tensor) for tensor in tensors])

    gradients = [gradient(index) for index in range(k)]
    pairs = itertools.permutations(range(k), 2)
    inner = [flat(product(i, gradients[j])) for i, j in pairs]
    return np.mean([flat(g) for g in gradients], axis=0), np.mean(inner, axis=0)


def row(name: str, k: int, rate: float) -> dict:
    """What is measured at one rate: c and the residual, relative to AvgGrad."""
    first, inner = averages(k)
    multiple, coefficient = (function(k) for function in TERMS[name])
    lacking = multiple * first - mean_meta_gradient(name, k, rate)
    residual = lacking - coefficient * rate * inner
    return {
        "gradient": name,
        "k": k,
        "rate": rate,
        "c": coefficient,
        "c_measured": float(lacking @ inner / (rate * inner @ inner)),
        "residual": float(np.linalg.norm(residual) / np.linalg.norm(first)),
    }


def order(rows: list[dict]) -> float:
    """The power of the rate with which the residual falls, of the two smallest rates."""
    larger, smaller = sorted(rows, key=lambda row: row["rate"])[1::-1]
    return float(np.log2(larger["residual"] / smaller["residual"]))


def draw(rows: list[dict], path: Path) -> None:
    """Residuals over rates, beside a line of slope 2."""
    figure = Figure(figsize=(6.4, 4.4))
    axes = figure.add_subplot()
    markers = dict(zip(TERMS, "osv", strict=True))
    for name, k in itertools.product(TERMS, MINIBATCHES):
        own = [row for row in rows if (row["gradient"], row["k"]) == (name, k)]
        axes.loglog(
            [row["rate"] for row in own],
            [row["residual"] for row in own],
            marker=markers[name],
            markersize=4,
            color=f"C{k}",
            label=f"{name}, k = {k}",
        )
    guide = np.array(RATES)
    axes.loglog(guide, guide**2, ":", color="gray", label="rate$^2$")
    axes.set(xlabel="inner rate", ylabel="what two terms leave, relative to AvgGrad")
    axes.set_title("Expansion of three meta-gradients")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small", ncols=1, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main(_):
    rows = []
    for name, k in itertools.product(TERMS, MINIBATCHES):
        own = [row(name, k, rate) for rate in RATES]
        print(
            f"{name:<18} k = {k}: c = {own[-1]['c']:g}, measured {own[-1]['c_measured']:.4f} at "
            f"rate {RATES[-1]:.4g}; residual falls as rate^{order(own):.3f}",
            flush=True,
        )
        rows += own
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.reptile_expansion", sys.argv[1:]),
            "protocol": {
                "network": "2-4-2, tanh, float64",
                "loss": f"mean squared error of minibatches of {SIZE}",
                "expectation": "over all k! orders",
                "residual": "norm over that of AvgGrad",
            },
            "orders": {
                f"{name}, k = {k}": order(
                    [row for row in rows if (row["gradient"], row["k"]) == (name, k)]
                )
                for name, k in itertools.product(TERMS, MINIBATCHES)
            },
            "rows": rows,
        }
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        draw(rows, RESULT.with_suffix(".png"))


if __name__ == "__main__":
    app.run(main)
