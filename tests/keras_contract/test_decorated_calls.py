"""Layers whose methods are a `tf.function` take the weights of each call, or are named."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfmeta
from tfmeta import inner

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def network_of(*hidden):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(2, name="head")])


class Decorated(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")

    @tf.function
    def call(self, inputs):
        if tf.reduce_sum(inputs) > 1e6:  # AutoGraph makes a condition of it.
            return inputs @ self.kernel
        return tf.tanh(inputs @ self.kernel)


class Helped(Decorated):
    @tf.function
    def product(self, inputs):
        return inputs @ self.kernel

    def call(self, inputs):
        return self.product(inputs)


class Plain(Decorated):
    def call(self, inputs):
        return tf.tanh(inputs @ self.kernel)


@pytest.mark.parametrize("layer", [Decorated, Plain])
def test_a_call_under_tf_function_takes_the_weights_of_each_call(layer):
    network = network_of(layer())
    first = network.layers[0]
    first.call = own = tf.function(first.call)
    pure = inner.PureNetwork(network)
    weights = [tf.constant(v.numpy()) for v in network.trainable_variables]

    @tf.function(autograph=False)
    def outputs_and_slope(weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            once = pure(weights, [], X, batch_statistics=True)[0]
            twice = pure([2 * w for w in weights], [], X, batch_statistics=True)[0]
        return twice, tape.gradient([once, twice], weights)[0]

    answers, slope = outputs_and_slope(weights)
    assert first.call is own
    assert np.abs(slope).max() > 0.1
    hidden = np.tanh(X @ (2 * weights[0].numpy()))
    np.testing.assert_allclose(answers, hidden @ (2 * weights[1].numpy()), rtol=1e-5, atol=1e-6)


def test_a_weight_that_is_read_past_keras_is_named():
    with pytest.raises(ValueError, match=r"'helped' \(Helped\) reads its weight 'kernel' in a"):
        tfmeta.MAML(network_of(Helped(name="helped")))
