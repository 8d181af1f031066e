"""Small networks for sequences: windows of a sensor, and texts as word numbers."""

import keras

from tfmeta.networks.conv4 import input_dtype


def window_conv(
    ways: int = 5,
    window_shape: tuple[int, int] = (64, 3),
    *,
    filters: int = 32,
    blocks: int = 3,
    dtype: str | None = None,
    name: str = "window_conv",
) -> keras.Model:
    """Builds convolutions over time, each of stride 2 with batch normalisation, and a dense head.

    Example:
        >>> from tfmeta import networks
        >>> networks.window_conv(ways=4, window_shape=(50, 6)).output_shape
        (None, 4)

    Args:
        ways: number of outputs (logits).
        window_shape: (time steps, channels).
        filters: of each convolution.
        blocks: number of convolutions.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, *window_shape] to logits [N, ways], with layers
        `conv_1`, `norm_1`, ..., `head`.
    """
    inputs = keras.Input(tuple(window_shape), name="windows", dtype=input_dtype(dtype))
    x = inputs
    for block in range(1, blocks + 1):
        x = keras.layers.Conv1D(
            filters, 5, strides=2, padding="same", dtype=dtype, name=f"conv_{block}"
        )(x)
        x = keras.layers.BatchNormalization(scale=False, dtype=dtype, name=f"norm_{block}")(x)
        x = keras.layers.Activation("relu", dtype=dtype, name=f"activation_{block}")(x)
    x = keras.layers.GlobalAveragePooling1D(dtype=dtype, name="mean")(x)
    outputs = keras.layers.Dense(ways, dtype=dtype, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def text_mean(
    ways: int = 5,
    vocabulary: int = 400,
    length: int = 12,
    *,
    width: int = 32,
    hidden: int = 32,
    dtype: str | None = None,
    name: str = "text_mean",
) -> keras.Model:
    """Builds the mean of word embeddings, a hidden layer and a dense head.

    Word number 0 fills short texts up: it is masked, so that it counts in no mean.

    Example:
        >>> from tfmeta import networks
        >>> networks.text_mean(ways=4).output_shape
        (None, 4)

    Args:
        ways: number of outputs (logits).
        vocabulary: number of word numbers, 0 included.
        length: words of a text, filling included.
        width: of an embedding.
        hidden: width of the hidden layer.
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from word numbers int32 [N, length] to logits [N, ways], with
        layers `embedding`, `mean`, `hidden`, `head`.
    """
    inputs = keras.Input((length,), name="words", dtype="int32")
    x = keras.layers.Embedding(vocabulary, width, mask_zero=True, dtype=dtype, name="embedding")(
        inputs
    )
    x = keras.layers.GlobalAveragePooling1D(dtype=dtype, name="mean")(x)
    x = keras.layers.Dense(hidden, activation="relu", dtype=dtype, name="hidden")(x)
    outputs = keras.layers.Dense(ways, dtype=dtype, name="head")(x)
    return keras.Model(inputs, outputs, name=name)
