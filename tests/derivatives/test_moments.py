"""Moments against TensorFlow's own forward pass and against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.derivatives.moments import exact_moments

AXES = ([0, 1], [1], [0, 1, 2])
SHAPE = (4, 3, 5)


@pytest.fixture
def values():
    generator = np.random.default_rng(0)
    return [tf.constant(generator.normal(2, 1, SHAPE)) for _ in range(3)]


def normalised_sum(inputs, axes, weights):
    mean, variance = exact_moments(inputs, axes)
    return tf.reduce_sum(weights * tf.sin((inputs - mean) * tf.math.rsqrt(variance + 1e-3)))


def gradient(inputs, axes, weights):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = normalised_sum(inputs, axes, weights)
    return tape.gradient(loss, inputs)


def gradient_of_gradient(inputs, axes, weights, direction):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        slope = tf.reduce_sum(gradient(inputs, axes, weights) * direction)
    return tape.gradient(slope, inputs)


def difference(function, inputs, direction, step=1e-5):
    """Central difference of a function of tensors, along a direction."""
    ahead, behind = function(inputs + step * direction), function(inputs - step * direction)
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_the_forward_pass_is_tensorflows(values, axes, dtype):
    inputs = tf.cast(values[0], dtype)
    expected = tf.nn.moments(inputs, axes, keepdims=True)
    for found, value in zip(exact_moments(inputs, axes), expected, strict=True):
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("compiled", [False, True])
def test_first_and_second_derivatives_are_those_of_finite_differences(values, axes, compiled):
    inputs, weights, direction = values
    functions = gradient, gradient_of_gradient
    first, second = (tf.function(f, autograph=False) if compiled else f for f in functions)
    found = tf.reduce_sum(first(inputs, axes, weights) * direction)
    expected = difference(lambda x: normalised_sum(x, axes, weights), inputs, direction)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    found = second(inputs, axes, weights, direction)
    expected = difference(lambda x: gradient(x, axes, weights), inputs, direction)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_an_unknown_number_of_examples_is_counted_when_it_is_there(values):
    inputs, weights, _ = values
    signature = [tf.TensorSpec([None, *SHAPE[1:]], tf.float64)] * 2
    traced = tf.function(
        lambda x, w: gradient(x, [0, 1], w), input_signature=signature, autograph=False
    )
    np.testing.assert_allclose(
        traced(inputs, weights), gradient(inputs, [0, 1], weights), rtol=1e-12
    )


def test_a_traced_gradient_leaves_no_attribute_that_a_loader_would_warn_of(values):
    inputs, weights, _ = values
    traced = tf.function(gradient, autograph=False).get_concrete_function(inputs, [0, 1], weights)
    nodes = traced.graph.as_graph_def().node
    assert nodes
    assert not any("_gradient_op_type" in node.attr for node in nodes)
