"""Fully connected networks: for sinusoids, with context parameters, and for Omniglot."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfmeta.networks.context import Context
from tfmeta.networks.conv4 import input_dtype


def mlp(
    hidden: Sequence[int] = (40, 40),
    outputs: int = 1,
    input_dim: int = 1,
    *,
    activation: str = "relu",
    dtype: Any = None,
    name: str = "mlp",
) -> keras.Model:
    """Builds a multilayer perceptron; the defaults are MAML's for sinusoids (1-40-40-1, ReLU).

    Example:
        >>> from tfmeta import networks
        >>> networks.mlp(hidden=(40, 40)).count_params()
        1761

    Args:
        hidden: width of each hidden layer.
        outputs: width of the linear output layer.
        input_dim: width of the input.
        activation: of the hidden layers.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, input_dim] to [N, outputs], with layers `hidden_1`,
        `hidden_2`, ..., `head`, initialised as Glorot and Bengio (2010).
    """
    inputs = keras.Input((input_dim,), name="inputs", dtype=input_dtype(dtype))
    x = inputs
    for index, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(width, activation, dtype=dtype, name=f"hidden_{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(outputs, dtype=dtype, name="head")(x), name=name)


def context_mlp(
    context: int = 5,
    hidden: Sequence[int] = (40, 40),
    outputs: int = 1,
    input_dim: int = 1,
    *,
    activation: str = "relu",
    dtype: Any = None,
    name: str = "context_mlp",
) -> keras.Model:
    """Builds CAVIA's network for sinusoids: `mlp` with context parameters beside its input.

    Example:
        >>> from tfmeta import networks
        >>> networks.context_mlp(context=5).layers[1].name
        'context'

    Args:
        context: number of context parameters.
        hidden: width of each hidden layer.
        outputs: width of the linear output layer.
        input_dim: width of the input.
        activation: of the hidden layers.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, input_dim] to [N, outputs], with layers `context`,
        `hidden_1`, `hidden_2`, ..., `head`.

    Source: Zintgraf et al. 2019, section 4.1.
    """
    inputs = keras.Input((input_dim,), name="inputs", dtype=input_dtype(dtype))
    x = Context(context, dtype=dtype, name="context")(inputs)
    for index, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(width, activation, dtype=dtype, name=f"hidden_{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(outputs, dtype=dtype, name="head")(x), name=name)


def nonconv(
    ways: int = 5,
    image_shape: Sequence[int] = (28, 28, 1),
    *,
    hidden: Sequence[int] = (256, 128, 64, 64),
    scale: bool = False,
    dtype: Any = None,
    name: str = "nonconv",
) -> keras.Model:
    """Builds MAML's Omniglot network without convolutions (Finn et al. 2017, section 5.2).

    Each hidden layer is dense, batch normalisation, ReLU.

    Args:
        ways: number of outputs (logits).
        image_shape: (height, width, channels); images are flattened.
        hidden: width of each hidden layer.
        scale: whether batch normalisation learns a scale.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, *image_shape] to logits [N, ways], with layers
        `dense_1`, `norm_1`, ..., `head`.
    """
    inputs = keras.Input(tuple(image_shape), name="images", dtype=input_dtype(dtype))
    x = keras.layers.Reshape((math.prod(image_shape),), dtype=dtype, name="flatten")(inputs)
    for index, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(width, dtype=dtype, name=f"dense_{index}")(x)
        x = keras.layers.BatchNormalization(scale=scale, dtype=dtype, name=f"norm_{index}")(x)
        x = keras.layers.Activation("relu", dtype=dtype, name=f"activation_{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(ways, dtype=dtype, name="head")(x), name=name)
