"""What an inductive answer may depend on, and what it leaves in the meta-gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled


class Centring(keras.Model):
    """Subtracts the batch's mean in its own `call`."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = keras.layers.Dense(4), keras.layers.Dense(2)

    def call(self, x):
        x = self.hidden(x)
        return self.head(x - tf.reduce_mean(x, axis=0))


def subclassed():
    network = Centring()
    network(np.zeros((2, 2), "float32"))
    return network


def with_a_lambda():
    centre = keras.layers.Lambda(lambda x: x - tf.reduce_mean(x, axis=0))
    return keras.Sequential([keras.Input((2,)), centre, keras.layers.Dense(2)])


def with_operations():
    inputs = keras.Input((2,))
    centred = inputs - keras.ops.mean(inputs, axis=0, keepdims=True)
    return keras.Model(inputs, keras.layers.Dense(2)(centred))


@pytest.mark.parametrize("build", [subclassed, with_a_lambda, with_operations])
def test_an_inductive_answer_depends_on_no_other_query_whatever_normalises(problem, build):
    keras.utils.set_random_seed(0)
    learner = compiled(tfmeta.MAML(build(), inner_rate=0.1, normalization="inductive"))
    sx, sy, qx = (np.float32(part) for part in problem.batch[0])
    together = learner.predict((sx, sy, qx), verbose=0)
    alone = learner.predict((sx, sy, qx[:, :1]), verbose=0)
    np.testing.assert_allclose(alone, together[:, :1], atol=1e-5)


@pytest.mark.usefixtures("without_traces")
def test_regularization_of_the_network_counts_in_the_inductive_query_loss(problem):
    def gradient(strength):
        keras.utils.set_random_seed(1)
        regularizer = keras.regularizers.L2(strength)
        network = keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.BatchNormalization(),
                keras.layers.Dense(2, kernel_regularizer=regularizer, name="head"),
            ]
        )
        learner = compiled(tfmeta.MAML(network, inner_steps=0, normalization="inductive"))
        gradients, _ = learner.meta_gradient(*tf.nest.map_structure(np.float32, problem.batch))
        return gradients[2].numpy(), network.get_layer("head").kernel.numpy()

    (plain, kernel), (decayed, _) = gradient(0.0), gradient(0.5)
    np.testing.assert_allclose(decayed - plain, 2 * 0.5 * kernel, atol=1e-5)
