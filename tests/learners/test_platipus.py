"""PLATIPUS: its two distributions and its bound, written out."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, descend, relative_error, squared_error, values

KEY = tf.constant([3, 1])


@pytest.fixture
def learner(problem):
    learner = compiled(tfmeta.PLATIPUS(problem.network(), 0.1, 2, noise=0.5, kl_weight=0.3))
    rng = np.random.default_rng(0)
    for variable in learner.parameter_variables[4:]:
        variable.assign(variable + 0.05 * np.abs(rng.normal(size=variable.shape)))
    return learner


def gradient(weights, examples):
    return [w - v for w, v in zip(weights, descend(weights, examples, 1.0, 1), strict=True)]


def test_the_distributions_are_the_weights_moved_by_their_gradients(problem, learner):
    parameters, task = values(learner.parameter_variables), problem.task(0)
    state = values(learner.state_variables)
    for found, examples, variances, rates in (
        (learner.prior(parameters, task.support, state, KEY), task.support, 4, 12),
        (learner.posterior(parameters, task.query, state, KEY), task.query, 8, 16),
    ):
        expected = [
            w - r * g
            for w, r, g in zip(
                parameters[:4],
                parameters[rates : rates + 4],
                gradient(parameters[:4], examples),
                strict=True,
            )
        ]
        assert relative_error(found.means, expected) < 1e-12
        assert relative_error(found.log_variances, parameters[variances : variances + 4]) == 0


def test_the_objective_is_the_bound_at_the_keys_draw(problem, learner):
    parameters, task = values(learner.parameter_variables), problem.task(0)
    state = values(learner.state_variables)
    prior = learner.prior(parameters, task.support, state, KEY)
    posterior = learner.posterior(parameters, task.query, state, KEY)
    theta = [w[0] for w in posterior.sample(learner.task_network.normal(KEY, 1))]
    adapted = descend(theta, task.support, 0.1, 2)
    # Two outputs of deviation 1/2.
    likelihood = -4.0 * squared_error(adapted, task.query) - 2 * np.log(0.5) - np.log(2 * np.pi)
    divergence = 0.0
    for m, s, n, t in zip(*posterior, *prior, strict=True):
        v, w = np.exp(s), np.exp(t)
        divergence += np.sum(0.5 * (np.log(w / v) - 1 + (v + (m - n) ** 2) / w))
    logs = learner.task_gradient(parameters, task, state, KEY).logs
    np.testing.assert_allclose(logs["divergence"], divergence, rtol=1e-12)
    np.testing.assert_allclose(logs["objective"], -likelihood + 0.3 * divergence / 5, rtol=1e-12)


def test_samples_are_drawn_from_the_prior_and_then_adapted(problem, learner):
    (support_x, support_y, _), _ = problem.batch
    start = learner.task_samples(support_x[:1], support_y[:1], 20_000, inner_steps=0)
    parameters, state = values(learner.parameter_variables), values(learner.state_variables)
    prior = learner.prior(parameters, problem.task(0).support, state, KEY)
    for drawn, mean, log_variance in zip(start, *prior, strict=True):
        deviation = np.exp(0.5 * log_variance.numpy())
        np.testing.assert_allclose(np.mean(drawn[0], 0), mean, atol=0.05 * deviation.max())
        np.testing.assert_allclose(np.std(drawn[0], 0), deviation, rtol=0.05)
    begin = learner.task_samples(support_x, support_y, 2, inner_steps=0, seed=(1, 2))
    end = learner.task_samples(support_x, support_y, 2, inner_steps=2, seed=(1, 2))
    support = problem.task(1).support
    expected = descend([w[1, 1] for w in begin], support, 0.1, 2)
    assert relative_error([w[1, 1] for w in end], expected) < 1e-12


@pytest.mark.usefixtures("without_traces")
def test_the_same_seed_gives_the_same_samples_and_another_others(problem, learner):
    x = problem.batch[0]
    first, again, other = (
        learner.predictive(x, 3, seed=s).samples for s in ((1, 2), (1, 2), (2, 2))
    )
    assert first.shape == (3, 3, 5, 2)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    assert np.abs(first[0] - first[1]).max() > 1e-4
    # Task 1's key is its place's.
    alone = learner.predictive(tuple(part[1:2] for part in x), 3, seed=(1, 3)).samples
    np.testing.assert_allclose(alone[0], first[1], rtol=1e-9)


@pytest.mark.usefixtures("without_traces")
def test_log_likelihood_is_that_of_the_mixture(problem, learner):
    x, y = problem.batch
    samples = learner.predictive(x, 4, seed=(0, 5)).samples.numpy()
    errors = (samples - y[:, None]) / 0.5
    each = (-0.5 * errors**2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    expected = np.log(np.exp(each).mean(axis=1))
    np.testing.assert_allclose(learner.log_likelihood(x, y, 4, seed=(0, 5)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["deviation", "kl_weight"])
def test_wrong_options_say_what_is_wrong(problem, name):
    with pytest.raises(ValueError, match=f"{name} must be above 0. Received: 0.0"):
        tfmeta.PLATIPUS(problem.network(), **{name: 0.0})
