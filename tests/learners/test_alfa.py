"""ALFA: rates and decays of each weight and step, times factors from the step's statistics."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, squared_error, values


def learner_of(problem, fixed_factors):
    """Two steps; rates, decays and the generator at random values of a fixed seed."""
    learner = compiled(tfmeta.ALFA(problem.network(), inner_rate=0.1, inner_steps=2, decay=0.01))
    rng = np.random.default_rng(0)
    for group, low, high in (("rates", 0.05, 0.3), ("decays", 0.0, 0.1), ("generator", -0.5, 0.5)):
        for variable in learner.variables_of(group):
            variable.assign(rng.uniform(low, high, size=variable.shape))
    if fixed_factors:
        _, _, kernel_2, bias_2 = learner.variables_of("generator")
        kernel_2.assign(np.zeros((8, 8)))
        bias_2.assign(np.ones(8))
    return learner


def by_hand(learner, examples, steps):
    """w <- (1 - f_decay decay) w - f_rate rate g, the factors by a small network in numpy."""
    rates, decays = (np.array(values(learner.variables_of(g))) for g in ("rates", "decays"))
    kernel_1, bias_1, kernel_2, bias_2 = (v.numpy() for v in learner.variables_of("generator"))
    weights = values(learner.network.trainable_variables)
    for step in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = squared_error(weights, examples)
        slopes = tape.gradient(loss, weights)
        means = np.array([np.mean(value) for value in (*weights, *slopes)])
        factors = np.maximum(means @ kernel_1 + bias_1, 0) @ kernel_2 + bias_2
        column = min(step, 1)
        weights = [
            (1 - factors[4 + i] * decays[i, column]) * weight
            - factors[i] * rates[i, column] * slope
            for i, (weight, slope) in enumerate(zip(weights, slopes, strict=True))
        ]
    return weights


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("fixed_factors", [True, False])
def test_steps_are_those_by_hand_and_later_ones_take_the_last_numbers(problem, fixed_factors):
    learner = learner_of(problem, fixed_factors)
    for steps in (2, 3):
        adapted = learner.task_weights(problem.support_x, problem.support_y, inner_steps=steps)
        for task in range(3):
            expected = by_hand(learner, problem.task(task).support, steps)
            for found, value in zip(adapted, expected, strict=True):
                np.testing.assert_allclose(found[task], value, atol=1e-12)


def test_with_factors_of_one_a_step_is_descent_with_decay(problem):
    learner = learner_of(problem, fixed_factors=True)
    rates, decays = (values(learner.variables_of(group)) for group in ("rates", "decays"))
    weights = values(learner.network.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = squared_error(weights, problem.task(0).support)
    slopes = tape.gradient(loss, weights)
    adapted = learner.task_weights(problem.support_x, problem.support_y, inner_steps=1)
    for i, found in enumerate(adapted):
        expected = (1 - decays[i][0]) * weights[i] - rates[i][0] * slopes[i]
        np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_an_adaptation_of_no_steps_is_refused(problem):
    with pytest.raises(ValueError, match=r"ALFA needs an inner step or more\. Received"):
        tfmeta.ALFA(problem.network(), inner_steps=0)
