"""Gaussian policies: networks whose outputs are the mean and log standard deviation of actions.

Finn et al. 2017, section 5.3: a multilayer perceptron with two hidden layers of 100 ReLU units for
the mean, and a learned log standard deviation that does not depend on the observation.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

# The least standard deviation (rllab's), so that a long inner step cannot make a likelihood
# infinite.
LEAST_STD = 1e-6


class Gaussian(NamedTuple):
    """Independent normal distributions of the parts of an action.

    Attributes:
        mean: [..., a].
        log_std: [..., a].
    """

    mean: tf.Tensor
    log_std: tf.Tensor


@keras.saving.register_keras_serializable("tfmeta")
class WithLogStd(keras.layers.Layer):
    """Appends a learned log standard deviation to means: [..., a] -> [..., 2 a].

    Args:
        initial_std: standard deviation of an untrained policy.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, initial_std=1.0, **options):
        super().__init__(**options)
        self.initial_std = initial_std

    def build(self, input_shape):
        start = keras.initializers.Constant(math.log(self.initial_std))
        self.log_std = self.add_weight(name="log_std", shape=input_shape[-1:], initializer=start)

    def call(self, mean):
        log_std = tf.zeros_like(mean) + tf.maximum(self.log_std, math.log(LEAST_STD))
        return tf.concat([mean, log_std], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "initial_std": self.initial_std}


def gaussian_mlp(
    observation_size: int,
    action_size: int,
    hidden: Sequence[int] = (100, 100),
    *,
    activation: str = "relu",
    initial_std: float = 1.0,
    dtype: Any = None,
    name: str = "gaussian_mlp",
) -> keras.Model:
    """Builds the policy of the MAML paper.

    Example:
        >>> from tfmeta import rl
        >>> policy = rl.gaussian_mlp(observation_size=2, action_size=2)
        >>> policy.output_shape
        (None, 4)

    Args:
        observation_size: o, the width of the input.
        action_size: a.
        hidden: width of each hidden layer.
        activation: of the hidden layers.
        initial_std: standard deviation of the untrained policy.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, o] to [N, 2 a], means before log standard deviations,
        with layers `hidden_1`, ..., `mean`, `std`.
    """
    inputs = keras.Input((observation_size,), name="observations", dtype=dtype)
    x = inputs
    for index, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(width, activation, dtype=dtype, name=f"hidden_{index}")(x)
    mean = keras.layers.Dense(action_size, dtype=dtype, name="mean")(x)
    outputs = WithLogStd(initial_std, dtype=dtype, name="std")(mean)
    return keras.Model(inputs, outputs, name=name)


def gaussian(outputs: tf.Tensor) -> Gaussian:
    """The distribution that a policy's outputs [..., 2 a] stand for."""
    return Gaussian(*tf.split(outputs, 2, axis=-1))


def log_likelihood(distribution: Gaussian, actions: tf.Tensor) -> tf.Tensor:
    """log p(actions) of actions [..., a], summed over their parts: [...]."""
    mean, log_std = distribution
    scaled = (actions - mean) * tf.exp(-log_std)
    parts = -0.5 * tf.square(scaled) - log_std - 0.5 * math.log(2 * math.pi)
    return tf.reduce_sum(parts, axis=-1)


def kl_divergence(old: Gaussian, new: Gaussian) -> tf.Tensor:
    """KL(old || new) [...], summed over the parts of an action."""
    variances = tf.exp(2 * (old.log_std - new.log_std))
    distances = tf.square((old.mean - new.mean) * tf.exp(-new.log_std))
    parts = 0.5 * (variances + distances - 1) - (old.log_std - new.log_std)
    return tf.reduce_sum(parts, axis=-1)
