"""Meta-gradients through layers in combination, by finite differences of the whole learner."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfmeta

FLOAT64 = {"dtype": "float64"}
IMAGES, SERIES = (6, 6, 2), (5, 3)


def pooled():
    return [
        layers.Conv2D(4, 3, padding="same", **FLOAT64),
        layers.BatchNormalization(**FLOAT64),
        layers.MaxPooling2D(2, **FLOAT64),
        layers.Activation("tanh", **FLOAT64),
        layers.Conv2D(3, 2, **FLOAT64),
        layers.MaxPooling2D(2, strides=1, padding="same", **FLOAT64),
    ]


def grouped():
    return [
        layers.Conv2D(4, 3, groups=2, activation="tanh", **FLOAT64),
        layers.Conv2D(4, 2, groups=4, activation="tanh", **FLOAT64),
    ]


def transposed():
    return [
        layers.Conv2DTranspose(3, 3, strides=2, activation="tanh", **FLOAT64),
        layers.Conv2DTranspose(2, 2, padding="same", activation="tanh", **FLOAT64),
    ]


def attention():
    inputs = keras.Input(SERIES, **FLOAT64)
    x = layers.MultiHeadAttention(2, 3, **FLOAT64)(inputs, inputs)
    x = layers.LayerNormalization(**FLOAT64)(layers.Add(**FLOAT64)([inputs, x]))
    return ended(inputs, layers.MultiHeadAttention(1, 2, **FLOAT64)(x, x))


def ended(inputs, x):
    return keras.Model(inputs, layers.Dense(2, **FLOAT64)(layers.Flatten(**FLOAT64)(x)))


def stacked(shape, made):
    inputs = x = keras.Input(shape, **FLOAT64)
    for layer in made:
        x = layer(x)
    return ended(inputs, x)


NETWORKS = {
    "max pooling and batch norm": lambda: stacked(IMAGES, pooled()),
    "grouped convolution": lambda: stacked(IMAGES, grouped()),
    "transposed convolution": lambda: stacked(IMAGES, transposed()),
    "gru": lambda: stacked(SERIES, [layers.GRU(4, return_sequences=True, **FLOAT64)]),
    "gru reset before": lambda: stacked(SERIES, [layers.GRU(4, reset_after=False, **FLOAT64)]),
    "attention": attention,
    "group norm": lambda: stacked(
        IMAGES,
        [
            layers.Conv2D(4, 3, activation="tanh", **FLOAT64),
            layers.GroupNormalization(2, **FLOAT64),
            layers.Activation("tanh", **FLOAT64),
        ],
    ),
    "prelu and unit norm": lambda: stacked(
        IMAGES,
        [
            layers.Conv2D(4, 3, **FLOAT64),
            layers.PReLU(
                alpha_initializer=keras.initializers.RandomUniform(0.1, 0.4, seed=1), **FLOAT64
            ),
            layers.UnitNormalization(**FLOAT64),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_meta_gradients_agree_with_finite_differences(name):
    keras.utils.set_random_seed(1)
    network = NETWORKS[name]()
    learner = tfmeta.MAML(network, inner_rate=0.1, inner_steps=2, parallel="sequential")
    learner.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    shape = network.input_shape[1:]
    sx, qx = (tf.constant(rng.normal(size=(2, 4, *shape))) for _ in range(2))
    sy, qy = (tf.constant(rng.normal(size=(2, 4, 2))) for _ in range(2))
    gradient, _ = learner.meta_gradient((sx, sy, qx), qy)
    variables = network.trainable_variables
    start = [v.numpy() for v in variables]

    @tf.function(autograph=False)
    def loss():
        return tf.reduce_mean((learner((sx, sy, qx)) - qy) ** 2)

    for seed in range(3):
        rng = np.random.default_rng(seed + 1)
        direction = [rng.normal(size=v.shape) for v in variables]
        found = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
        scale = np.sqrt(sum(np.sum(g**2) for g in gradient) * sum(np.sum(d**2) for d in direction))
        errors = []
        # A ladder: a step may cross the kink of a maximum or of a PReLU.
        for h in (1e-5, 1e-6, 1e-7):
            values = []
            for sign in (1, -1):
                for variable, value, way in zip(variables, start, direction, strict=True):
                    variable.assign(value + sign * h * way)
                values.append(float(loss()))
            errors.append(abs((values[0] - values[1]) / (2 * h) - found) / scale)
        assert min(errors) < 1e-8, errors
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
