"""Log-likelihoods and predictives of samples against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import SetLoss
from tfmeta.inner.likelihood import Likelihood

OUTPUTS = np.random.default_rng(0).normal(size=(4, 5, 3))
LABELS = np.array([0, 2, 1, 1, 0])
HOT = np.eye(3)[LABELS]


def likelihood(loss, noise=0.5):
    return Likelihood.of(SetLoss(loss).loss, noise)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS[:, None]),
        (keras.losses.CategoricalCrossentropy(from_logits=True), HOT),
    ],
)
def test_a_categorical_likelihood(loss, targets):
    found = likelihood(loss)
    p = softmax(OUTPUTS)
    expected = np.log(p[:, np.arange(5), LABELS])
    np.testing.assert_allclose(
        found.log_density(tf.constant(targets), tf.constant(OUTPUTS)), expected
    )
    np.testing.assert_allclose(
        softmax(found.combined(tf.constant(OUTPUTS)).numpy()), p.mean(axis=0)
    )
    np.testing.assert_allclose(found.predictions(tf.constant(OUTPUTS)), p)


def test_losses_of_probabilities_are_likelihoods_too():
    p = tf.constant(softmax(OUTPUTS))
    for loss in ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()):
        found = likelihood(loss)
        np.testing.assert_allclose(
            found.log_density(tf.constant(LABELS), p), np.log(p.numpy()[:, np.arange(5), LABELS])
        )
        np.testing.assert_allclose(found.combined(p), np.mean(p, axis=0))


def test_a_bernoulli_likelihood():
    found = likelihood(keras.losses.BinaryCrossentropy(from_logits=True))
    p = 1 / (1 + np.exp(-OUTPUTS))
    expected = np.log(np.where(HOT > 0, p, 1 - p)).sum(axis=-1)
    np.testing.assert_allclose(found.log_density(tf.constant(HOT), tf.constant(OUTPUTS)), expected)
    mean = p.mean(axis=0)
    np.testing.assert_allclose(
        found.combined(tf.constant(OUTPUTS)), np.log(mean / (1 - mean)), rtol=1e-9
    )


def test_a_gaussian_likelihood():
    found = likelihood("mse")
    error = OUTPUTS - HOT
    expected = (-0.5 * (error / 0.5) ** 2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    np.testing.assert_allclose(found.log_density(tf.constant(HOT), tf.constant(OUTPUTS)), expected)
    np.testing.assert_allclose(found.combined(tf.constant(OUTPUTS)), OUTPUTS.mean(axis=0))
    flat = found.log_density(tf.constant(HOT[:, 0]), tf.constant(OUTPUTS[..., :1]))
    assert flat.shape == (4, 5)


@pytest.mark.parametrize(
    ("loss", "density"),
    [
        ("mse", lambda f: 0.5 * tf.square(f / 0.5)),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            lambda f: -HOT[:2] * tf.nn.log_softmax(f),
        ),
        (
            keras.losses.BinaryCrossentropy(from_logits=True),
            lambda f: -tf.math.log_sigmoid(f) * HOT[:2] - tf.math.log_sigmoid(-f) * (1 - HOT[:2]),
        ),
    ],
)
def test_curvature_roots_multiply_to_the_hessian(loss, density):
    outputs, weights = tf.constant(OUTPUTS[0, :2]), tf.constant([1.0, 0.5], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(outputs)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = tf.reduce_sum(weights[:, None] * density(outputs))
        first = tf.reshape(tape.gradient(value, outputs), [-1])
    hessian = tf.reshape(outer.jacobian(first, outputs), [6, 6])
    roots = tf.reshape(likelihood(loss).curvature_roots(outputs, weights), [-1, 6])
    np.testing.assert_allclose(tf.transpose(roots) @ roots, hessian, atol=1e-12)
