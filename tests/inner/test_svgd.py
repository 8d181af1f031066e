"""Stein variational gradient descent against its formula, and where it comes to rest."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import svgd_direction


def written_out(particles, gradients, temperature):
    """Liu and Wang's phi, a particle and a pair at a time, times -T."""
    count = len(particles)
    pairs = [np.linalg.norm(particles[i] - particles[j]) for i in range(count) for j in range(i)]
    bandwidth = np.median(np.square(pairs)) / math.log(count)
    directions = np.zeros_like(particles)
    for i in range(count):
        for j in range(count):
            difference = particles[i] - particles[j]
            kernel = math.exp(-(difference @ difference) / bandwidth)
            repulsion = 2 / bandwidth * difference * kernel
            directions[i] += (kernel * gradients[j] - temperature * repulsion) / count
    return directions


@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_the_direction_is_the_papers(count, temperature):
    rng = np.random.default_rng(count)
    # Far from the origin, where squares of coordinates would cancel.
    particles = 1e3 + rng.normal(size=(count, 7))
    gradients = rng.normal(size=(count, 7))

    def weights(values):
        return [tf.constant(values[:, :6].reshape(count, 2, 3)), tf.constant(values[:, 6])]

    found = svgd_direction(weights(particles), weights(gradients), temperature)
    flat = np.concatenate([tf.reshape(part, [count, -1]) for part in found], axis=1)
    np.testing.assert_allclose(flat, written_out(particles, gradients, temperature), rtol=1e-9)


def test_one_particle_descends_its_gradient_and_particles_at_one_place_the_mean():
    gradient = [tf.constant([[1.0, -2.0]])]
    assert svgd_direction([tf.zeros([1, 2])], gradient, 5.0) is gradient
    same = svgd_direction([tf.ones([3, 2])], [tf.constant([[1.0, 0.0]] * 2 + [[4.0, 3.0]])], 5.0)
    np.testing.assert_allclose(same[0], [[2.0, 1.0]] * 3)


def rest(particles, variance, temperature, steps):
    """Particles after descent to the Gaussian N(1, variance), of loss (x - 1)^2 / (2 variance)."""

    @tf.function(autograph=False)
    def step(x):
        return x - 0.1 * svgd_direction([x], [(x - 1.0) / variance], temperature)[0]

    for _ in range(steps):
        particles = step(particles)
    return particles


def test_two_particles_of_a_gaussian_rest_where_the_formula_says():
    """At 1 +- a the bandwidth is 4 a^2 / log 2 and k = 1/2, so a^2 = T variance log 2."""
    variance, temperature = 0.25, 0.7
    start = tf.constant([[3.0], [2.5]], tf.float64)
    found = np.sort(rest(start, variance, temperature, 300)[:, 0])
    apart = math.sqrt(temperature * variance * math.log(2))
    np.testing.assert_allclose(found, [1.0 - apart, 1.0 + apart], rtol=1e-10)


def test_many_particles_of_a_gaussian_have_its_moments():
    start = np.random.default_rng(0).normal(4.0, 0.1, size=(40, 1))
    found = rest(tf.constant(start), 0.25, 1.0, 500)
    np.testing.assert_allclose(np.mean(found), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.var(found), 0.25, rtol=0.1)


def test_derivatives_flow_through_the_bandwidth():
    rng = np.random.default_rng(0)
    particles, gradients, along = (tf.constant(rng.normal(size=(5, 3))) for _ in range(3))

    def value(x):
        return tf.reduce_sum(along * svgd_direction([x], [gradients * x], 0.2)[0])

    with tf.GradientTape() as tape:
        tape.watch(particles)
        result = value(particles)
    found = tape.gradient(result, particles)
    step = 1e-6
    difference = (value(particles + step * along) - value(particles - step * along)) / (2 * step)
    np.testing.assert_allclose(tf.reduce_sum(found * along), difference, rtol=1e-8)
