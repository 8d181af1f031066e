"""A small regression problem in float64, on which every learner's definition can be checked."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.tasks.task import Examples, Task


@dataclasses.dataclass
class Problem:
    """Tasks [3, ...] for a tanh network 2-4-2 in float64."""

    support_x: np.ndarray
    support_y: np.ndarray
    query_x: np.ndarray
    query_y: np.ndarray

    @property
    def batch(self):
        return (self.support_x, self.support_y, self.query_x), self.query_y

    def task(self, index):
        x = [tf.constant(array[index]) for array in (self.support_x, self.support_y)]
        q = [tf.constant(array[index]) for array in (self.query_x, self.query_y)]
        return Task(Examples(*x), Examples(*q))

    @staticmethod
    def network(seed=0, **options):
        keras.utils.set_random_seed(seed)
        options = {"activation": "tanh", "dtype": "float64", **options}
        return tfmeta.networks.mlp(hidden=(4,), outputs=2, input_dim=2, **options)


@pytest.fixture(scope="session")
def problem():
    rng = np.random.default_rng(7)
    return Problem(
        rng.normal(size=(3, 6, 2)),
        rng.normal(size=(3, 6, 2)),
        rng.normal(size=(3, 5, 2)),
        rng.normal(size=(3, 5, 2)),
    )


def compiled(learner, loss="mse", **options):
    """The learner, compiled with plain gradient descent of rate 1 outside."""
    learner.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, **options)
    return learner


def values(variables):
    return [tf.convert_to_tensor(variable) for variable in variables]


def forward(weights, x):
    """The problem's network, written out."""
    kernel, bias, head, head_bias = weights
    return tf.tanh(x @ kernel + bias) @ head + head_bias


def squared_error(weights, examples):
    return tf.reduce_mean(tf.square(forward(weights, examples.inputs) - examples.targets))


def descend(weights, examples, rate, steps, objective=squared_error):
    """Plain gradient descent, differentiable."""
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = objective(weights, examples)
        gradients = tape.gradient(loss, weights)
        weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
    return weights


def relative_error(actual, expected):
    actual = np.concatenate([np.ravel(a) for a in actual])
    expected = np.concatenate([np.ravel(e) for e in expected])
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="session")
def labelled():
    """The problem with labels of three classes, every one in each support set."""
    rng = np.random.default_rng(8)
    labels = np.array([0, 1, 2, 0, 1, 1], np.int32)
    shuffled = np.stack([rng.permutation(labels) for _ in range(3)])
    inputs = rng.normal(size=(3, 6, 2)), rng.normal(size=(3, 5, 2))
    return Problem(inputs[0], shuffled, inputs[1], rng.integers(3, size=(3, 5)).astype(np.int32))


def classifier_network(outputs=3, **options):
    """A tanh network 2-4-outputs in float64, no weight at its initial 0."""
    keras.utils.set_random_seed(3)
    options = {"activation": "tanh", "dtype": "float64", **options}
    network = tfmeta.networks.mlp(hidden=(4,), outputs=outputs, input_dim=2, **options)
    for index, weight in enumerate(network.trainable_variables):
        weight.assign(np.random.default_rng(index).normal(size=weight.shape))
    return network


def classifier(learner, sparse=True, **options):
    """The learner, compiled with the cross-entropy of its logits."""
    kinds = keras.losses.CategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy
    return compiled(learner, kinds[sparse](from_logits=True), **options)


def embed(network, x):
    """The embedding of `classifier_network`, in numpy."""
    kernel, bias = (v.numpy() for v in network.trainable_variables[:2])
    return np.tanh(x @ kernel + bias)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
