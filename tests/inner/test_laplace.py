"""Precisions of Laplace's approximation against matrices written out."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import FullPrecision, KroneckerPrecision

TAU = 0.7


def matrix(blocks):
    """tau I + R^T R of rows [K, P]."""
    return TAU * np.eye(blocks.shape[1]) + blocks.T @ blocks


def random_rows(*shapes, count=5):
    rng = np.random.default_rng(0)
    return [tf.constant(rng.normal(size=(count, *shape))) for shape in shapes]


def flat(rows):
    return np.concatenate([tf.reshape(row, [len(row), -1]) for row in rows], axis=1)


def covariance(precision, shapes, draws=100_000):
    noise = [np.random.default_rng(i).normal(size=(draws, *s)) for i, s in enumerate(shapes)]
    return np.cov(flat(precision.sample([tf.constant(value) for value in noise])).T)


def test_the_full_precision_is_the_matrix():
    shapes = ((2, 3), (3,))
    rows = random_rows(*shapes)
    precision, exact = FullPrecision(rows, TAU), matrix(flat(rows))
    np.testing.assert_allclose(precision.log_determinant(), np.linalg.slogdet(exact)[1], rtol=1e-12)
    # A draw from the unit vectors as noise is a column of the root, which is symmetric.
    unit = np.eye(9)
    root = flat(
        precision.sample([tf.constant(unit[:, :6].reshape(9, 2, 3)), tf.constant(unit[:, 6:])])
    )
    np.testing.assert_allclose(root @ root @ exact, unit, atol=1e-12)


def test_a_kronecker_block_is_the_product_written_out():
    rows = random_rows((2, 3))
    precision = KroneckerPrecision(rows, TAU)
    matrices = rows[0].numpy()
    left = sum(m @ m.T for m in matrices)
    right = sum(m.T @ m for m in matrices)
    exact = TAU * np.eye(6) + np.kron(left, right) / np.trace(left)
    np.testing.assert_allclose(np.trace(exact), np.trace(matrix(flat(rows))), rtol=1e-12)
    np.testing.assert_allclose(precision.log_determinant(), np.linalg.slogdet(exact)[1], rtol=1e-12)
    unit = np.eye(6)
    columns = flat(precision.sample([tf.constant(unit.reshape(6, 2, 3))])).T
    np.testing.assert_allclose(columns @ columns.T @ exact, unit, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("one output", [np.random.default_rng(1).normal(size=(5, 4, 1))]),
        ("a bias", [np.random.default_rng(2).normal(size=(5, 3))]),
        ("one example", [np.random.default_rng(3).normal(size=(1, 4, 1)) * np.ones((1, 4, 3))]),
        (
            "a linear map of one noise",
            [
                np.einsum(
                    "ni,co->ncio", np.random.default_rng(4).normal(size=(5, 4)), np.eye(3)
                ).reshape(15, 4, 3)
            ],
        ),
    ],
)
def test_a_kronecker_block_is_exact_where_the_rows_share_a_factor(name, rows):
    found = KroneckerPrecision([tf.constant(row) for row in rows], TAU)
    expected = np.linalg.slogdet(matrix(flat([tf.constant(row) for row in rows])))[1]
    np.testing.assert_allclose(found.log_determinant(), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [FullPrecision, KroneckerPrecision])
def test_draws_have_the_inverse_as_covariance(kind):
    shapes = ((2, 1), (1,))
    rows = random_rows(*shapes, count=1)
    precision = kind(rows, TAU)
    expected = np.linalg.inv(matrix(flat(rows)))
    if kind is KroneckerPrecision:  # Without what the two weights have in common.
        expected = np.zeros((3, 3))
        expected[:2, :2] = np.linalg.inv(matrix(flat(rows[:1])))
        expected[2:, 2:] = np.linalg.inv(matrix(flat(rows[1:])))
    np.testing.assert_allclose(covariance(precision, shapes), expected, atol=0.02)


def test_a_weight_that_no_output_depends_on_keeps_the_prior():
    precision = KroneckerPrecision([tf.zeros([4, 2, 3], tf.float64)], TAU)
    np.testing.assert_allclose(precision.log_determinant(), 6 * np.log(TAU))


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("kind", [FullPrecision, KroneckerPrecision])
def test_a_task_that_diverged_is_nan_and_leaves_the_others_alone(kind, value):
    (rows,), noise = random_rows((2, 3)), tf.ones([4, 2, 3], tf.float64)

    def found(rows):
        precision = kind([rows], TAU)
        return precision.log_determinant(), precision.sample([noise])[0]

    both = tf.vectorized_map(found, tf.stack([rows, rows * value]))

    for of_both, alone in zip(both, found(rows), strict=True):
        np.testing.assert_allclose(of_both[0], alone, rtol=1e-12)
        assert np.isnan(of_both[1]).all()
