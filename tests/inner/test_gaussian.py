"""The divergence of diagonal Gaussians against Monte Carlo, and draws against their moments."""

import numpy as np
import tensorflow as tf

from tfmeta.inner import DiagonalGaussian, kl_divergence


def gaussian(seed):
    rng = np.random.default_rng(seed)
    shapes = ((2, 3), (4,))
    return DiagonalGaussian(
        [tf.constant(rng.normal(size=shape)) for shape in shapes],
        [tf.constant(rng.normal(size=shape, scale=0.5)) for shape in shapes],
    )


def log_density(gaussian, draws):
    total = 0.0
    for mean, log_variance, draw in zip(*gaussian, draws, strict=True):
        mean, variance = mean.numpy(), np.exp(log_variance)
        terms = -0.5 * (draw - mean) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)
        total = total + terms.reshape(len(draw), -1).sum(axis=1)
    return total


def test_the_divergence_is_what_monte_carlo_says():
    q, p = gaussian(1), gaussian(2)
    rng = np.random.default_rng(0)
    draws = q.sample([tf.constant(rng.normal(size=(200_000, *m.shape))) for m in q.means])
    draws = [draw.numpy() for draw in draws]
    ratios = log_density(q, draws) - log_density(p, draws)
    error = ratios.std() / np.sqrt(len(ratios))
    assert error < 0.02
    assert abs(kl_divergence(q, p) - ratios.mean()) < 4 * error
    np.testing.assert_allclose(kl_divergence(q, q), 0.0, atol=1e-12)


def test_draws_have_the_means_and_variances():
    q = gaussian(3)
    rng = np.random.default_rng(0)
    draws = q.sample([tf.constant(rng.normal(size=(100_000, *m.shape))) for m in q.means])
    for draw, mean, log_variance in zip(draws, *q, strict=True):
        np.testing.assert_allclose(np.mean(draw, axis=0), mean, atol=0.02)
        np.testing.assert_allclose(np.var(draw, axis=0), np.exp(log_variance), rtol=0.03)
