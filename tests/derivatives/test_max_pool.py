"""Max pooling inside `exact_derivatives` has TensorFlow's values, in every layout."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import exact_derivatives

X = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 6, 3)))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("xla", [False, True])
def test_values_are_those_of_tensorflow(size, stride, padding, xla):
    expected = tf.nn.max_pool2d(X, size, stride, padding)
    with exact_derivatives(xla=xla):
        actual = tf.nn.max_pool2d(X, size, stride, padding)
    assert np.array_equal(actual, expected)


def test_channels_may_come_first():
    expected = tf.nn.max_pool2d(X, (3, 2), 1, "SAME")
    with exact_derivatives():
        actual = tf.nn.max_pool2d(
            tf.transpose(X, [0, 3, 1, 2]), (3, 2), 1, "SAME", data_format="NCHW"
        )
    assert np.array_equal(tf.transpose(actual, [0, 2, 3, 1]), expected)


def test_the_gradients_of_ties_add_up_to_one_a_window():
    ties = tf.ones([1, 4, 4, 1], tf.float64)
    with exact_derivatives(xla=True), tf.GradientTape() as tape:
        tape.watch(ties)
        total = tf.reduce_sum(tf.nn.max_pool2d(ties, 2, 2, "VALID"))
    assert float(tf.reduce_sum(tape.gradient(total, ties))) == 4.0


def test_explicit_padding_is_refused_by_name():
    with (
        exact_derivatives(xla=True),
        pytest.raises(ValueError, match=r"padding 'same' or 'valid'.*EXPLICIT"),
    ):
        tf.nn.max_pool2d(X, 2, 2, [[0, 0], [1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("size", [2, (1, 2), (5, 3)], ids=str)
def test_derivatives_of_tiles_are_those_of_maxima_of_slices(size, traced):
    generator = np.random.default_rng(1)
    upstream, direction, third = (tf.constant(generator.normal(size=X.shape)) for _ in range(3))

    def derivatives(xla):
        with exact_derivatives(xla=xla), tf.GradientTape() as outmost:
            outmost.watch(X)
            with tf.GradientTape() as outer:
                outer.watch(X)
                with tf.GradientTape() as tape:
                    tape.watch(X)
                    pooled = tf.nn.max_pool2d(X, size, size, "VALID")
                    weights = upstream[:, : pooled.shape[1], : pooled.shape[2]]
                    value = tf.reduce_sum(weights * tf.sin(pooled))
                first = tape.gradient(value, X)
                slope = tf.reduce_sum(first * direction)
            second = outer.gradient(slope, X)
            curvature = tf.reduce_sum(second * third)
        return first, second, outmost.gradient(curvature, X)

    function = tf.function(derivatives, autograph=False) if traced else derivatives
    for found, expected in zip(function(False), function(True), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
