"""Four convolution blocks and a dense head: the image network of MAML and Reptile."""

from typing import Any

import keras


def conv4(
    ways: int = 5,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    *,
    filters: int = 64,
    downsampling: str = "stride",
    head: str = "mean",
    scale: bool = False,
    activation: str = "relu",
    pool_before_activation: bool = False,
    pool_padding: str = "valid",
    dtype: Any = None,
    name: str = "conv4",
) -> keras.Model:
    """Builds four blocks of 3 x 3 convolution, batch normalisation and ReLU, and a dense head.

    The defaults are MAML's network for Omniglot (Finn et al. 2017, section 5.2): strides of 2 and
    the mean over space. `downsampling="max_pool", head="flatten", filters=32` with 84 x 84 x 3
    images is the one for mini-ImageNet (800 features). Reptile's are `head="flatten"`,
    `scale=True`, and for mini-ImageNet `pool_before_activation=True, pool_padding="same"`.

    Example:
        >>> from tfmeta import networks
        >>> networks.conv4(ways=5).output_shape
        (None, 5)

    Args:
        ways: number of outputs (logits).
        image_shape: (height, width, channels).
        filters: of each convolution.
        downsampling: "stride" (convolutions of stride 2) or "max_pool" (2 x 2 after each block).
        head: "mean" over space or "flatten", before the dense layer.
        scale: whether batch normalisation learns a scale (MAML's code: only a centre).
        activation: of each block.
        pool_before_activation: max pooling before the activation, as Reptile's code.
        pool_padding: "valid" (MAML) or "same" (Reptile).
        dtype: a Keras dtype policy for all layers, or None for the global one.
        name: of the model.

    Returns:
        A functional `keras.Model` from [N, *image_shape] to logits [N, ways], with layers
        `conv_1` .. `conv_4`, `norm_1` .. `norm_4`, `head`.

    Raises:
        ValueError: if an option is unknown.
    """
    _check_choice("downsampling", downsampling, ("stride", "max_pool"))
    _check_choice("head", head, ("mean", "flatten"))
    pooled = downsampling == "max_pool"
    # Keras casts what it is given to the input's dtype: a float64 network needs a float64 input.
    inputs = keras.Input(tuple(image_shape), name="images", dtype=input_dtype(dtype))
    x = inputs
    for block in range(1, 5):
        strides = 1 if pooled else 2
        x = keras.layers.Conv2D(
            filters, 3, strides=strides, padding="same", dtype=dtype, name=f"conv_{block}"
        )(x)
        x = keras.layers.BatchNormalization(scale=scale, dtype=dtype, name=f"norm_{block}")(x)
        pool = keras.layers.MaxPooling2D(2, padding=pool_padding, dtype=dtype, name=f"pool_{block}")
        activate = keras.layers.Activation(activation, dtype=dtype, name=f"activation_{block}")
        stages = [pool, activate] if pool_before_activation else [activate, pool]
        for stage in stages if pooled else [activate]:
            x = stage(x)
    if head == "mean":
        x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="mean")(x)
    else:
        x = keras.layers.Flatten(dtype=dtype, name="flatten")(x)
    outputs = keras.layers.Dense(ways, dtype=dtype, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def input_dtype(dtype):
    """Dtype of an input whose layers have the policy `dtype` (None: the global one)."""
    policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
    return policy.variable_dtype


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}. Received: {value!r}."
        )
