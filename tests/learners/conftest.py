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
