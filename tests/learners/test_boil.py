"""BOIL: the body adapts, the head stays, and the head learns outside."""

import numpy as np
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, squared_error, values


def body_step(weights, examples, rate):
    """One step of gradient descent on the first two weights of four."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = squared_error(weights, examples)
    gradients = tape.gradient(loss, weights[:2])
    moved = [w - rate * g for w, g in zip(weights[:2], gradients, strict=True)]
    return [*moved, *weights[2:]]


def test_two_steps_move_the_body_as_gradient_descent_and_leave_the_head(problem):
    learner = compiled(tfmeta.BOIL(problem.network(), inner_rate=0.3, inner_steps=2))
    adapted = learner.task_weights(problem.support_x, problem.support_y)
    for task in range(3):
        expected = values(learner.network.trainable_variables)
        for _ in range(2):
            expected = body_step(expected, problem.task(task).support, 0.3)
        for found, value in zip(adapted, expected, strict=True):
            np.testing.assert_allclose(found[task], value, rtol=0, atol=1e-12)
        for found, before in zip(adapted[2:], learner.network.trainable_variables[2:], strict=True):
            np.testing.assert_array_equal(found[task], before)


def test_the_meta_gradient_has_the_head_and_the_path_through_the_body(problem):
    learner = compiled(tfmeta.BOIL(problem.network(), inner_rate=0.3))
    weights = values(learner.network.trainable_variables)
    expected = []
    for index in range(3):
        task = problem.task(index)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = squared_error(body_step(weights, task.support, 0.3), task.query)
        expected.append([g.numpy() for g in tape.gradient(loss, weights)])
    means = [np.mean(parts, axis=0) for parts in zip(*expected, strict=True)]
    assert relative_error(learner.meta_gradient(*problem.batch)[0], means) < 1e-12


def test_further_patterns_are_frozen(problem):
    learner = tfmeta.BOIL(problem.network(), frozen=("*/bias",))
    assert learner.adapted_paths == ["hidden_1/kernel"]
