"""The meta-gradient and the curvature beside finite differences and closed forms, in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfmeta import inner, rl
from tfmeta.rl.gaussian_policy import Gaussian
from tfmeta.rl.meta_objective import MetaObjective
from tfmeta.rl.trajectories import Experience, Trajectories

SURROGATES = (rl.log_likelihood_surrogate, rl.likelihood_ratio_surrogate)
STEPS = (1e-4, 1e-5, 1e-6)  # of central differences; two neighbours must agree with the gradient


def objective_of(problem, tasks=2):
    def map_over_tasks(function):
        results = [function(problem.task(index)) for index in range(tasks)]
        return tf.nest.map_structure(lambda *values: tf.stack(values), *results)

    return MetaObjective(problem.of_task, map_over_tasks)


def moved(weights, direction, step):
    return [w + step * d for w, d in zip(weights, direction, strict=True)]


def directions(weights):
    """Three seeded directions of length 1."""
    for seed in range(3):
        drawn = [
            tf.random.stateless_normal(w.shape, [seed, i], dtype=tf.float64)
            for i, w in enumerate(weights)
        ]
        length = tf.sqrt(inner.dot(drawn, drawn))
        yield [part / length for part in drawn]


def best_error(slope, function, weights, direction):
    """The second least relative error of central differences over the ladder of steps."""
    errors = []
    for step in STEPS:
        difference = function(moved(weights, direction, step))
        difference -= function(moved(weights, direction, -step))
        errors.append(abs(float(difference / (2 * step) - slope)) / abs(float(slope)))
    return sorted(errors)[1]


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_the_meta_gradient_is_that_of_finite_differences(fixed_problem, surrogate):
    problem = fixed_problem(surrogate)
    objective = objective_of(problem)
    gradient = objective.gradient(problem.weights)
    for direction in directions(problem.weights):
        error = best_error(
            inner.dot(gradient, direction),
            lambda weights: objective.value(weights)[0],
            problem.weights,
            direction,
        )
        assert error < 1e-6


def test_the_two_surrogates_have_one_policy_gradient_and_two_meta_gradients(fixed_problem):
    problems = [fixed_problem(surrogate) for surrogate in SURROGATES]
    updates = [p.step.update(p.weights, [], p.task(0)[0], 1.0)[0] for p in problems]
    for one, other in zip(*updates, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    gradients = [objective_of(problem).gradient(problem.weights) for problem in problems]
    apart = [a - b for a, b in zip(*gradients, strict=True)]
    share = tf.sqrt(inner.dot(apart, apart) / inner.dot(gradients[0], gradients[0]))
    assert float(share) > 1e-2


def test_the_curvature_of_the_divergence_is_that_of_finite_differences(fixed_problem):
    problem = fixed_problem()
    objective = objective_of(problem)

    def kl_gradient(weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            _, kl = objective.value(weights)
        return tape.gradient(kl, weights)

    vector, *others = directions(problem.weights)
    product = objective.kl_product(problem.weights, vector)
    for direction in others:
        error = best_error(
            inner.dot(product, direction),
            lambda weights, direction=direction: inner.dot(kl_gradient(weights), direction),
            problem.weights,
            vector,
        )
        assert error < 1e-6


def test_the_divergence_is_nothing_before_the_step_and_least_there(fixed_problem):
    problem = fixed_problem()
    objective = objective_of(problem)
    _, kl = objective.value(problem.weights)
    assert abs(float(kl)) < 1e-14
    for direction in directions(problem.weights):
        assert float(objective.value(moved(problem.weights, direction, 1e-2))[1]) > 0


# One action a from N(mean, std^2), with advantage A(a) = 1 - (a - TARGET)^2: the expected advantage
# is 1 - (mean - TARGET)^2 - std^2, its second derivative by the mean is -2. The nodes of
# Gauss-Hermite quadrature stand for trajectories, so that sums are expectations.
MEAN, STD, TARGET = 0.3, 0.7, 1.1


def second_derivative_by_the_mean(surrogate):
    nodes, shares = np.polynomial.hermite_e.hermegauss(12)
    shares = shares / shares.sum() * len(nodes)
    actions = MEAN + STD * nodes
    shape = (len(nodes), 1)
    log_std = tf.fill((*shape, 1), tf.constant(math.log(STD), tf.float64))
    old = tf.concat([tf.fill((*shape, 1), tf.constant(MEAN, tf.float64)), log_std], axis=-1)
    trajectories = Trajectories(
        observations=tf.zeros((*shape, 1), tf.float64),
        actions=tf.constant(actions.reshape(*shape, 1)),
        rewards=tf.zeros(shape, tf.float64),
        mask=tf.ones(shape, tf.float64),
        policy_outputs=old,
    )
    advantages = tf.constant((shares * (1 - (actions - TARGET) ** 2)).reshape(shape))
    experience = Experience(trajectories, advantages)

    def loss(weights):
        return surrogate(Gaussian(weights[0] + tf.zeros_like(log_std), log_std), experience)

    at = [tf.constant(MEAN, tf.float64)]
    return float(inner.hessian_vector_product(loss, at, [tf.ones([], tf.float64)])[0])


def test_the_likelihood_ratio_has_the_second_derivative_of_the_expected_return():
    found = second_derivative_by_the_mean(rl.likelihood_ratio_surrogate)
    assert found == pytest.approx(2.0, rel=1e-9)


def test_the_log_likelihood_leaves_out_the_product_of_scores():
    expected_advantage = 1 - (MEAN - TARGET) ** 2 - STD**2
    found = second_derivative_by_the_mean(rl.log_likelihood_surrogate)
    # -E[A d2 log pi / d mean^2] alone, the second derivative of log pi being -1 / std^2.
    assert found == pytest.approx(expected_advantage / STD**2, rel=1e-9)
