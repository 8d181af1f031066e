"""What tfmeta changes inside its scope, it changes nowhere else."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import zoo
from tests.conformance.test_vectorised import LOOPS, operations
from tfmeta.inner import exact_derivatives, hessian_vector_product
from tfmeta.parallel import map_tasks

X = tf.constant(np.random.default_rng(0).normal(size=(6, 3)))
KERNEL = tf.constant(np.random.default_rng(1).normal(size=(3, 2)))
VECTOR = tf.constant(np.random.default_rng(2).normal(size=(3, 2)))


def keras_norm(x):
    layer = keras.layers.BatchNormalization(dtype="float64", center=False, scale=False)
    return layer(x, training=True)


def keras_moments(x):
    mean, variance = tf.nn.moments(x, axes=[0])
    return (x - mean) * tf.math.rsqrt(variance + 1e-3)


def stopped_norm(x):
    """What Keras computes, with the gradient that `tf.nn.moments` stops."""
    mean = tf.reduce_mean(x, axis=0)
    variance = tf.reduce_mean(tf.square(x - tf.stop_gradient(mean)), axis=0)
    return (x - mean) * tf.math.rsqrt(variance + 1e-3)


def exact_norm(x):
    mean = tf.reduce_mean(x, axis=0)
    variance = tf.reduce_mean(tf.square(x - mean), axis=0)
    return (x - mean) * tf.math.rsqrt(variance + 1e-3)


def product(normalise):
    def loss(weights):
        return tf.reduce_mean(tf.square(tf.tanh(normalise(tf.tanh(X @ weights[0]))) - 0.3))

    return hessian_vector_product(loss, [KERNEL], [VECTOR])[0]


def close(a, b):
    return np.allclose(a, b, rtol=1e-10, atol=0)


def test_second_derivatives_outside_the_scope_stay_tensorflows_own():
    with exact_derivatives():
        inside = product(keras_norm)
    outside = product(keras_norm)

    assert close(inside, product(exact_norm))
    assert close(outside, product(stopped_norm))
    assert np.linalg.norm(inside - outside) > 1e-3 * np.linalg.norm(outside)


def test_they_stay_so_while_another_thread_traces_inside_the_scope():
    inside, leave = threading.Event(), threading.Event()
    found = []

    @tf.function(autograph=False)
    def traced():
        with exact_derivatives():
            inside.set()
            leave.wait(timeout=60)
            return product(keras_moments)

    thread = threading.Thread(target=lambda: found.append(traced()))
    thread.start()
    assert inside.wait(timeout=60)
    outside = product(keras_norm)
    leave.set()
    thread.join()

    assert close(outside, product(stopped_norm))
    assert close(found[0], product(exact_norm))


def test_the_scope_of_one_thread_gives_exact_derivatives_while_others_are_outside():
    outside, leave = threading.Event(), threading.Event()
    found = []

    def stay_outside():
        outside.set()
        leave.wait(timeout=60)
        found.append(product(keras_moments))

    thread = threading.Thread(target=stay_outside)
    thread.start()
    assert outside.wait(timeout=60)
    with exact_derivatives():
        inside = product(keras_moments)
        leave.set()
        thread.join()

    assert close(inside, product(exact_norm))
    assert close(found[0], product(stopped_norm))


@pytest.mark.parametrize("name", [n for n in zoo.LAYERS if "norm" in n or "pool" in n])
def test_the_forward_pass_is_the_same_bit_for_bit(name):
    layer = zoo.LAYERS[name]
    pure = layer.pure()
    inputs, _ = layer.examples(3)
    weights = [tf.convert_to_tensor(v) for v in pure.network.trainable_variables]
    state = zoo.state_of(pure.network)

    inside, new_state, _ = pure(weights, state, inputs, batch_statistics=True)
    outside = pure.network(inputs, training=True)

    assert np.array_equal(inside, outside)
    updated = zoo.state_of(pure.network)
    assert all(np.array_equal(a, b) for a, b in zip(new_state, updated, strict=True))


def test_a_users_own_stopped_gradient_stays_stopped():
    with exact_derivatives(), tf.GradientTape() as tape:
        tape.watch(X)
        y = tf.reduce_sum(tf.stop_gradient(X))
    assert tape.gradient(y, X) is None


def test_vectorized_map_outside_tfmeta_keeps_tensorflows_converters():
    images = tf.ones([2, 1, 4, 4, 1])
    kernels = tf.ones([2, 2, 2, 1, 1])

    def convolve(task):
        return tf.nn.conv2d(*task, strides=1, padding="SAME")

    def traced(mapped):
        return operations(
            tf.function(mapped, autograph=False).get_concrete_function((images, kernels))
        )

    assert not traced(lambda tasks: map_tasks(convolve, tasks, parallel="vectorized")) & LOOPS
    assert traced(lambda tasks: tf.vectorized_map(convolve, tasks, warn=False)) & LOOPS


def test_moments_of_plain_arrays_outside_the_scope_stay_as_they_were():
    array = np.arange(6.0).reshape(2, 3)
    with exact_derivatives():
        pass
    mean, variance = tf.nn.moments(array, [0])
    np.testing.assert_array_equal(mean, [1.5, 2.5, 3.5])
    np.testing.assert_array_equal(variance, [2.25, 2.25, 2.25])
