"""The differentiable optimisers against Keras' own, and at gradients of zero."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import SGD, Adam
from tfmeta.inner.optimizers import get, safe_sqrt

GRADIENTS = [[0.3, -2.0, 0.0], [0.1, 1.0, 0.5], [-0.7, 0.2, 0.0]]


def ours(optimizer, rate, scale=1.0):
    weights = [tf.constant([1.0, -1.0, 2.0])]
    slots = optimizer.init(weights)
    for gradient in GRADIENTS:
        weights, slots = optimizer.update(weights, [tf.constant(gradient) * scale], slots, [rate])
    return weights[0].numpy()


def keras_own(optimizer):
    variable = keras.Variable([1.0, -1.0, 2.0])
    for gradient in GRADIENTS:
        optimizer.apply([tf.constant(gradient)], [variable])
    return np.asarray(variable)


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        (SGD(), keras.optimizers.SGD(0.1)),
        (SGD(momentum=0.9), keras.optimizers.SGD(0.1, momentum=0.9)),
        (Adam(beta_1=0.0, epsilon=1e-7), keras.optimizers.Adam(0.1, beta_1=0.0, epsilon=1e-7)),
        (Adam(beta_1=0.9, epsilon=1e-7), keras.optimizers.Adam(0.1, epsilon=1e-7)),
    ],
)
def test_three_steps_equal_those_of_keras(optimizer, reference):
    np.testing.assert_allclose(ours(optimizer, 0.1), keras_own(reference), rtol=2e-5)


def test_adam_adds_epsilon_to_the_corrected_root():
    # Kingma and Ba 2015, algorithm 1, by hand; Keras adds it before it corrects the root, which
    # tells in gradients as small as these.
    found = ours(Adam(beta_1=0.9, beta_2=0.99, epsilon=1e-6), 0.1, scale=1e-6)
    weight, mean, square = np.array([1.0, -1.0, 2.0]), 0.0, 0.0
    for count, gradient in enumerate(1e-6 * np.array(GRADIENTS), 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        root = np.sqrt(square / (1 - 0.99**count)) + 1e-6
        weight = weight - 0.1 * mean / (1 - 0.9**count) / root
    np.testing.assert_allclose(found, weight, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [Adam(), Adam(beta_1=0.9)])
def test_differentiating_adam_at_gradients_of_zero_gives_no_nan(optimizer):
    start = tf.constant([0.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(start)
        weights, slots = [start], optimizer.init([start])
        for _ in range(2):
            with tf.GradientTape() as inner:
                inner.watch(weights)
                loss = weights[0][1] ** 2  # the first entry's gradient is exactly 0
            gradients = inner.gradient(loss, weights)
            weights, slots = optimizer.update(weights, gradients, slots, [0.1])
        total = tf.reduce_sum(weights[0] ** 2)
    derivative = tape.gradient(total, start).numpy()
    assert np.isfinite(derivative).all()
    assert derivative[1] != 0


def test_the_root_has_its_own_derivatives_and_zero_ones_at_zero():
    x = tf.constant([0.0, 4.0], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            root = safe_sqrt(x)
        first = tape.gradient(root, x)
    second = outer.gradient(first, x)
    np.testing.assert_allclose(root, [0.0, 2.0])
    np.testing.assert_allclose(first, [0.0, 1 / 4])  # 1/2 x^(-1/2)
    np.testing.assert_allclose(second, [0.0, -1 / 32])  # -1/4 x^(-3/2)


def test_a_step_without_derivatives_makes_none_of_their_operations():
    @tf.function(input_signature=[tf.TensorSpec([3])] * 2, autograph=False)
    def step(weight, gradient):
        optimizer = Adam()
        return optimizer.update([weight], [gradient], optimizer.init([weight]), [0.1])[0]

    operations = {op.type for op in step.get_concrete_function().graph.get_operations()}
    assert not operations & {"SelectV2", "Select", "Greater"}


def test_a_rate_keeps_the_digits_of_float64():
    weights = [tf.constant([0.0], tf.float64)]
    moved, _ = SGD().update(weights, [tf.constant([1.0], tf.float64)], [], [0.1])
    assert moved[0].numpy()[0] == -0.1


def test_a_config_gives_the_optimizer_back():
    for optimizer in (SGD(momentum=0.5), Adam(beta_2=0.9)):
        assert type(optimizer).from_config(optimizer.get_config()) == optimizer


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'sgd', 'momentum', 'adam'.*Received: 'rmsprop'"):
        get("rmsprop")
