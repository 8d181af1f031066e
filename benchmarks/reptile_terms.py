"""The expansion of three meta-gradients in AvgGrad and AvgGradInner, term by term.

What is computed is said in `benchmarks.reptile_expansion`, which measures it.
"""

import dataclasses
import itertools

import keras
import numpy as np
import tensorflow as tf

import tfmeta

SIZE = 5  # examples of a minibatch
# Of each meta-gradient: how often it has AvgGrad, and c of - c a AvgGradInner, both functions of k.
TERMS = {
    "MAML": (lambda k: 1, lambda k: 2 * (k - 1)),
    "first-order MAML": (lambda k: 1, lambda k: k - 1),
    "Reptile": (lambda k: k, lambda k: k * (k - 1) / 2),
}


@dataclasses.dataclass(frozen=True)
class InOrder(tfmeta.parts.Part):
    """Inner step i descends the i-th minibatch of the support set."""

    def at_step(self, context, index):
        """The examples of inner step `index`."""
        rows = index * SIZE + tf.range(SIZE)
        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else tf.gather(tensor, rows), context.support
        )


def learner_of(name: str, network, k: int, rate: float):
    """The learner of one of `TERMS`, compiled."""
    if name == "Reptile":
        learner = tfmeta.Reptile(network, rate, k, inner_optimizer="sgd")
    else:
        learner = tfmeta.MAML(network, rate, k - 1, first_order=name != "MAML")
    ordered = tfmeta.MetaLearner(
        network,
        dataclasses.replace(learner.adaptation, examples=InOrder()),
        learner.gradient_rule,
        inner_steps=learner.inner_steps,
    )
    ordered.compile(keras.optimizers.SGD(), "mse")
    return ordered


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
