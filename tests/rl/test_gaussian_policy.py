"""Gaussian policies: their densities, and the network."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfmeta import rl
from tfmeta.rl.gaussian_policy import Gaussian, gaussian, kl_divergence, log_likelihood


def normal(mean, log_std):
    return Gaussian(tf.constant([mean], tf.float64), tf.constant([log_std], tf.float64))


def density(distribution, points):
    mean, std = float(distribution.mean[0]), math.exp(float(distribution.log_std[0]))
    return np.exp(-0.5 * ((points - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def test_the_log_likelihood_is_that_of_the_density():
    one, points = normal(0.3, -0.7), np.linspace(-2, 2, 5)
    found = log_likelihood(one, tf.constant(points[:, None]))
    np.testing.assert_allclose(found, np.log(density(one, points)), rtol=1e-12)


def test_the_divergence_is_the_integral_of_the_densities():
    old, new = normal(0.3, -0.7), normal(-0.2, -0.4)
    points, width = np.linspace(-8, 8, 200_001, retstep=True)
    p, q = density(old, points), density(new, points)
    inside = p > 1e-300
    integral = (p[inside] * np.log(p[inside] / q[inside])).sum() * width
    np.testing.assert_allclose(kl_divergence(old, new), integral, rtol=1e-9)
    assert float(kl_divergence(old, old)) == 0


def test_parts_of_an_action_are_independent():
    outputs = tf.constant([[0.1, 0.2, -0.5, 0.3]], tf.float64)
    both = log_likelihood(gaussian(outputs), tf.constant([[0.4, -1.0]], tf.float64))
    parts = [
        log_likelihood(normal(0.1, -0.5), tf.constant([0.4], tf.float64)),
        log_likelihood(normal(0.2, 0.3), tf.constant([-1.0], tf.float64)),
    ]
    np.testing.assert_allclose(both, [sum(float(part) for part in parts)], rtol=1e-12)


def test_a_policy_starts_with_the_standard_deviation_it_is_given():
    policy = rl.gaussian_mlp(3, 2, hidden=(5,), initial_std=0.5)
    mean, log_std = gaussian(policy(tf.zeros([4, 3])))
    np.testing.assert_allclose(log_std, np.full((4, 2), math.log(0.5)), rtol=1e-6)
    np.testing.assert_array_equal(mean, np.zeros((4, 2)))


def test_a_policy_is_saved_and_loaded_by_keras(tmp_path):
    policy = rl.gaussian_mlp(3, 2, hidden=(5,))
    policy.save(tmp_path / "policy.keras")
    loaded = keras.saving.load_model(tmp_path / "policy.keras")
    observations = tf.random.stateless_normal([4, 3], [0, 1])
    np.testing.assert_array_equal(loaded(observations), policy(observations))
