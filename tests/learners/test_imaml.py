"""iMAML against the closed form of a quadratic inner problem, and its limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, descend, relative_error, squared_error, values

RATE, LAMBDA = 0.05, 3.0
STEPS = 80  # each leaves 0.7 of the distance to the minimum: 4e-13 in all


def linear_network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,), dtype="float64")
    head = keras.layers.Dense(2, use_bias=False, dtype="float64", name="head")
    return keras.Model(inputs, head(inputs))


def test_meta_gradient_of_a_linear_model_is_the_closed_form(problem):
    learner = compiled(
        tfmeta.IMAML(
            linear_network(), RATE, 2000, regularization=LAMBDA, cg_steps=8, parallel="sequential"
        )
    )
    start = values(learner.network.trainable_variables)[0].numpy()
    expected = []
    for i in range(3):
        x, y = problem.support_x[i], problem.support_y[i]
        qx, qy = problem.query_x[i], problem.query_y[i]
        # Keras' squared error is a mean over 6 examples of a mean over 2 outputs.
        hessian = x.T @ x / 6
        regularized = hessian + LAMBDA * np.eye(2)
        minimum = np.linalg.solve(regularized, x.T @ y / 6 + LAMBDA * start)
        query_gradient = qx.T @ (qx @ minimum - qy) / 5
        expected.append(np.linalg.solve(np.eye(2) + hessian / LAMBDA, query_gradient))
    gradients, _ = learner.meta_gradient(*problem.batch)
    assert relative_error(gradients, [np.mean(expected, axis=0)]) < 1e-9


def test_meta_gradient_agrees_with_finite_differences_of_the_inner_minimum(problem):
    def objective(start):
        def regularized(weights, examples):
            distance = tf.add_n(
                [tf.reduce_sum((v - w) ** 2) for v, w in zip(weights, start, strict=True)]
            )
            return squared_error(weights, examples) + LAMBDA / 2 * distance

        return regularized

    learner = compiled(
        tfmeta.IMAML(problem.network(), 0.1, STEPS, regularization=LAMBDA, cg_steps=30)
    )
    gradients, _ = learner.meta_gradient(*problem.batch)
    weights = [w.numpy() for w in values(learner.network.trainable_variables)]
    rng = np.random.default_rng(1)
    direction = [rng.normal(size=w.shape) for w in weights]

    @tf.function
    def loss(moved):
        losses = []
        for i in range(3):
            adapted = moved
            for _ in tf.range(STEPS):
                adapted = descend(adapted, problem.task(i).support, 0.1, 1, objective(moved))
            losses.append(squared_error(adapted, problem.task(i).query))
        return tf.reduce_mean(losses)

    def shifted(h):
        return loss([tf.constant(w + h * d) for w, d in zip(weights, direction, strict=True)])

    slope = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    h = 1e-5
    assert float(shifted(h) - shifted(-h)) / (2 * h) == pytest.approx(slope, rel=1e-7)


@pytest.mark.usefixtures("without_traces")
def test_a_huge_lambda_gives_the_first_order_gradient_without_adaptation(problem):
    strong = compiled(tfmeta.IMAML(problem.network(), 1e-9, 4, regularization=1e8))
    plain = compiled(tfmeta.MAML(problem.network(), inner_steps=0, first_order=True))
    expected, _ = plain.meta_gradient(*problem.batch)
    assert relative_error(strong.meta_gradient(*problem.batch)[0], expected) < 1e-6


def test_weights_that_do_not_adapt_get_their_gradient_through_the_minimum(problem):
    options = {"regularization": LAMBDA, "cg_steps": 20, "adapted": "head/*"}
    implicit = compiled(tfmeta.IMAML(problem.network(), 0.3, 120, **options))
    gradients, _ = implicit.meta_gradient(*problem.batch)
    weights = values(implicit.network.trainable_variables)
    expected = []
    for i in range(3):
        task = problem.task(i)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            head = weights[2:]
            for _ in range(120):
                with tf.GradientTape() as inner:
                    inner.watch(head)
                    distance = tf.add_n(
                        [
                            tf.reduce_sum((v - w) ** 2)
                            for v, w in zip(head, weights[2:], strict=True)
                        ]
                    )
                    loss = squared_error([*weights[:2], *head], task.support)
                    loss += LAMBDA / 2 * distance
                head = [h - 0.3 * g for h, g in zip(head, inner.gradient(loss, head), strict=True)]
            loss = squared_error([*weights[:2], *head], task.query)
        expected.append([g.numpy() for g in tape.gradient(loss, weights)])
    means = [np.mean(parts, axis=0) for parts in zip(*expected, strict=True)]
    assert relative_error(gradients, means) < 1e-7


def test_lambda_must_be_positive(problem):
    with pytest.raises(ValueError, match=r"regularization must be above 0. Received: 0"):
        tfmeta.IMAML(problem.network(), regularization=0)


@pytest.mark.usefixtures("without_traces")
def test_terms_of_weights_that_do_not_adapt_use_the_averages_that_the_inner_problem_used(problem):
    def gradient(momentum):
        network = keras.Sequential(
            [
                keras.Input((2,), dtype="float64"),
                keras.layers.Dense(4, "tanh", dtype="float64", name="hidden"),
                keras.layers.BatchNormalization(momentum=momentum, dtype="float64"),
                keras.layers.Dense(2, dtype="float64", name="head"),
            ]
        )
        for i, weight in enumerate(network.trainable_variables):
            weight.assign(np.random.default_rng(i).normal(size=weight.shape))
        learner = tfmeta.IMAML(network, 0.1, 5, adapted="head/*", normalization="running")
        return compiled(learner).meta_gradient(*problem.batch)[0]

    # The averages that queries leave (all theirs at momentum 0) come after the meta-gradient.
    assert relative_error(gradient(0.0), gradient(1.0)) < 1e-12
