"""What stock Keras says of a network: the oracle of this folder."""

import keras
import numpy as np
import tensorflow as tf

# Keras' wrapper of loss functions, which `compile` puts around a name or a function.
WRAPPER = keras.losses.MeanSquaredError.__bases__[0]


def loss_of(network, loss, x, y, *, training=False, weights=None):
    """Keras' own loss [] of one set, regularisation and `add_loss` included.

    Args:
        network: a built `keras.Model`, which is compiled here.
        loss: as `compile` takes it.
        x: inputs [N, ...].
        y: targets [N, ...].
        training: how the network is called.
        weights: Keras' sample weights, or None.
    """
    network.compile("sgd", loss)
    outputs = network(tf.constant(x), training=training)
    return network.compute_loss(x, tf.constant(y), outputs, weights, training=training)


def mean_loss(network, loss, x, y):
    """The mean over tasks [T, N, ...] of Keras' loss of each."""
    return np.mean([loss_of(network, loss, *task) for task in zip(x, y, strict=True)])


def step_of(network, loss, x, y, rate):
    """The network's weights after one step of gradient descent on Keras' own loss."""
    with tf.GradientTape() as tape:
        value = loss_of(network, loss, x, y, training=True)
    gradients = tape.gradient(value, network.trainable_variables)
    return [
        v - rate * tf.convert_to_tensor(g)
        for v, g in zip(network.trainable_variables, gradients, strict=True)
    ]


def metrics_of(network, metrics, x, y, weights=None, weighted_metrics=None):
    """Keras' metrics of one set, a dict, as `evaluate` gives them."""
    network.compile("sgd", "mse", metrics=metrics, weighted_metrics=weighted_metrics)
    outputs = network(tf.constant(x), training=False)
    network._compile_metrics.update_state(tf.constant(y), outputs, weights)
    return {name: value.numpy() for name, value in network._compile_metrics.result().items()}


def flat(array):
    """[T, N, ...] as one set [T * N, ...]."""
    return np.reshape(array, (-1, *array.shape[2:]))


def difference(values, expected):
    """The largest distance between two lists of tensors."""
    return max(
        float(np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0.0))
        for a, b in zip(values, expected, strict=True)
    )


def dense_network(outputs, activation=None, **options):
    """A network 3-4-outputs, seeded."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(outputs, activation, **options)]
    return keras.Sequential([keras.Input((3,)), *layers])


def dense_tasks(tasks=3, support=6, queries=5):
    """Inputs [T, S, 3], [T, Q, 3] of seeded numbers."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(tasks, support, 3)).astype("float32"),
        rng.normal(size=(tasks, queries, 3)).astype("float32"),
    )
