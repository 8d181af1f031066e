"""Conjugate gradients against a direct solution."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import conjugate_gradient, hessian_operator, hessian_vector_product

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(6, 6))
MATRIX = tf.constant(MATRIX @ MATRIX.T + np.eye(6))
RIGHT = RNG.normal(size=6)


def operator(vector):
    joined = tf.concat([tf.reshape(part, [-1]) for part in vector], axis=0)
    product = tf.linalg.matvec(MATRIX, joined)
    return [tf.reshape(product[:4], [2, 2]), product[4:]]


def right_side():
    return [tf.constant(RIGHT[:4].reshape(2, 2)), tf.constant(RIGHT[4:])]


def flat(tensors):
    return np.concatenate([np.ravel(tensor) for tensor in tensors])


@pytest.mark.parametrize("unroll", [False, True])
def test_as_many_steps_as_unknowns_solve_and_more_change_nothing(unroll):
    expected = np.linalg.solve(MATRIX, RIGHT)
    for steps in (6, 40):
        solved = conjugate_gradient(operator, right_side(), steps, unroll=unroll)
        np.testing.assert_allclose(flat(solved), expected, rtol=1e-9)


def test_a_tolerance_stops_early():
    loose = conjugate_gradient(operator, right_side(), 40, tolerance=0.5)
    residual = RIGHT - flat(operator(loose))
    assert 1e-6 < np.linalg.norm(residual) / np.linalg.norm(RIGHT) <= 0.5


def test_a_right_side_of_zero_gives_zero():
    solved = conjugate_gradient(operator, [tf.zeros_like(t) for t in right_side()], 3)
    assert np.array_equal(flat(solved), np.zeros(6))


def test_hessian_vector_product_of_a_quadratic_is_the_matrix_product():
    def loss(weights):
        return 0.5 * tf.reduce_sum(weights[0] * tf.linalg.matvec(MATRIX, weights[0]))

    product = hessian_vector_product(loss, [tf.constant(RIGHT)], [tf.constant(RIGHT[::-1].copy())])
    np.testing.assert_allclose(product[0], MATRIX.numpy() @ RIGHT[::-1], rtol=1e-12)


def test_products_with_one_hessian_compute_its_gradient_once():
    calls = []

    def loss(weights):
        calls.append(weights)
        (x,) = weights
        return 0.5 * tf.reduce_sum(x * tf.linalg.matvec(MATRIX, x)) + tf.reduce_sum(x**3)

    product = hessian_operator(loss, [tf.constant(RIGHT)])
    hessian = MATRIX.numpy() + np.diag(6 * RIGHT)
    for vector in np.eye(len(RIGHT)):
        np.testing.assert_allclose(product([tf.constant(vector)])[0], hessian @ vector, rtol=1e-12)
    assert len(calls) == 1
