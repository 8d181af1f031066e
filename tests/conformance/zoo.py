"""Every layer that tfmeta answers for, registered once: a tiny network around it, in float64.

A property is a file of this folder that runs over `LAYERS`. A new layer gets them all by one
function here. Activations are smooth, so that finite differences mean something.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tfmeta.inner import PureNetwork

LAYERS = {}

# One of each kind whose derivatives, or whose place in a map within a map, are of their own.
KINDS = (
    "dense_plain",
    "conv2d_strided",
    "batch_norm_plain",
    "max_pool2d_same",
    "lstm_plain",
    "embedding",
)

# Further options of a layer, through the operations of one that is tried beside them.
FURTHER = (
    "conv1d_causal",
    "conv2d_dilated",
    "conv2d_point",
    "conv3d_valid",
    "conv2d_transpose_valid",
    "depthwise2d_dilated",
    "batch_norm_bare",
    "max_pool2d_one",
)

OUTPUTS = 2


@dataclasses.dataclass(frozen=True)
class Layer:
    """A network around a layer, and examples for it.

    Attributes:
        name: of the layer, with its options.
        body: from the network's input(s) to features.
        shape: of an input, without the examples' axis, or a dict of shapes.
        vocabulary: None, or the number of integers that inputs are drawn from.
    """

    name: str
    body: Callable
    shape: tuple | dict
    vocabulary: int | None = None

    def network(self):
        """Builds the network, with the same weights each time."""
        keras.utils.set_random_seed(1)
        with _float64():
            dtype = "int32" if self.vocabulary else "float64"
            inputs = keras.tree.map_shape_structure(
                lambda shape: keras.Input(shape, dtype=dtype), self.shape
            )
            if isinstance(inputs, dict):
                inputs = {k: keras.Input(v.shape[1:], name=k) for k, v in inputs.items()}
            features = layers.Flatten()(self.body(inputs))
            return keras.Model(inputs, layers.Dense(OUTPUTS, name="head")(features))

    def pure(self, **options):
        """The network as a function of its weights."""
        return PureNetwork(self.network(), **options)

    def examples(self, *lead, seed=0):
        """Inputs [*lead, ...] and targets [*lead, outputs]."""
        rng = np.random.default_rng(seed)

        def draw(shape):
            if self.vocabulary:
                return tf.constant(rng.integers(self.vocabulary, size=(*lead, *shape)), tf.int32)
            return tf.constant(rng.normal(size=(*lead, *shape)))

        inputs = keras.tree.map_shape_structure(draw, self.shape)
        return inputs, tf.constant(rng.normal(size=(*lead, OUTPUTS)))


def weights_near(network, seed, tasks=None, scale=0.3):
    """Random weights near the initial ones, where no bias is 0 and no scale 1.

    Args:
        network: a `keras.Model`.
        seed: of the noise.
        tasks: None, or T for weights [T, *shape].
        scale: standard deviation.
    """
    rng = np.random.default_rng(seed)
    lead = () if tasks is None else (tasks,)
    return [
        tf.constant(v.numpy() + scale * rng.normal(size=(*lead, *v.shape)))
        for v in network.trainable_variables
    ]


def state_of(network):
    """The values of the variables that are not trained."""
    return [tf.convert_to_tensor(v) for v in network.non_trainable_variables]


def squared_error(pure, state, inputs, targets):
    """The loss of a set of examples, as a function of the weights."""

    def loss(weights):
        outputs, _, _ = pure(weights, state, inputs, batch_statistics=True)
        return tf.reduce_mean(tf.square(outputs - targets))

    return loss


@contextlib.contextmanager
def _float64():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def layer(shape, **options):
    """Registers `body(inputs) -> features` under its name."""

    def register(body):
        LAYERS[body.__name__] = Layer(body.__name__, body, shape, **options)
        return body

    return register


def layer_options(name, shape, make, **variants):
    """Registers a layer after a convolution or product with an activation, once a variant."""
    for variant, options in variants.items():
        title = f"{name}_{variant}"
        LAYERS[title] = Layer(title, _after_features(make, options, len(shape)), shape)


def _after_features(make, options, rank):
    def body(x):
        before = layers.Dense(4, "tanh", name="before")
        return keras.activations.tanh(make(name="layer", **options)(before(x)))

    return body


LINE, PLANE, VOLUME = (7, 2), (5, 6, 2), (3, 4, 3, 2)

layer_options("dense", (3,), layers.Dense, plain={"units": 3})
layer_options(
    "conv1d",
    LINE,
    layers.Conv1D,
    strided={"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    causal={"filters": 3, "kernel_size": 2, "padding": "causal", "dilation_rate": 2},
)
layer_options(
    "conv2d",
    PLANE,
    layers.Conv2D,
    strided={"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    dilated={"filters": 3, "kernel_size": 2, "dilation_rate": 2},
    grouped={"filters": 4, "kernel_size": 3, "groups": 2},
    point={"filters": 3, "kernel_size": 1, "strides": 2},
)
layer_options(
    "conv3d",
    VOLUME,
    layers.Conv3D,
    strided={"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"},
    valid={"filters": 3, "kernel_size": (2, 3, 1)},
)
layer_options(
    "conv1d_transpose",
    LINE,
    layers.Conv1DTranspose,
    strided={"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
)
layer_options(
    "conv2d_transpose",
    PLANE,
    layers.Conv2DTranspose,
    strided={"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    valid={"filters": 3, "kernel_size": 2},
)
layer_options(
    "conv3d_transpose",
    VOLUME,
    layers.Conv3DTranspose,
    strided={"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"},
)
layer_options(
    "depthwise1d",
    LINE,
    layers.DepthwiseConv1D,
    strided={"kernel_size": 3, "strides": 2, "padding": "same"},
)
layer_options(
    "depthwise2d",
    PLANE,
    layers.DepthwiseConv2D,
    strided={"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
    dilated={"kernel_size": 2, "dilation_rate": 2},
)
layer_options("separable1d", LINE, layers.SeparableConv1D, plain={"filters": 3, "kernel_size": 3})
layer_options(
    "separable2d",
    PLANE,
    layers.SeparableConv2D,
    plain={"filters": 3, "kernel_size": 3, "padding": "same"},
)
layer_options("batch_norm", PLANE, layers.BatchNormalization, plain={}, bare={"scale": False})
layer_options("layer_norm", (3,), layers.LayerNormalization, plain={})
layer_options("group_norm", PLANE, layers.GroupNormalization, plain={"groups": 2})
layer_options("unit_norm", (3,), layers.UnitNormalization, plain={})
layer_options("rms_norm", (3,), layers.RMSNormalization, plain={})
layer_options("max_pool1d", LINE, layers.MaxPooling1D, same={"strides": 1, "padding": "same"})
layer_options(
    "max_pool2d",
    PLANE,
    layers.MaxPooling2D,
    strided={},
    same={"pool_size": 2, "strides": 1, "padding": "same"},
    one={"pool_size": 1},
)
layer_options(
    "average_pool2d", PLANE, layers.AveragePooling2D, same={"pool_size": 2, "padding": "same"}
)
layer_options("global_average_pool2d", PLANE, layers.GlobalAveragePooling2D, plain={})
layer_options("global_max_pool2d", PLANE, layers.GlobalMaxPooling2D, plain={})
layer_options("upsampling2d", PLANE, layers.UpSampling2D, nearest={})
layer_options("lstm", (4, 2), layers.LSTM, plain={"units": 2})
layer_options("gru", (4, 2), layers.GRU, plain={"units": 2, "return_sequences": True})
layer_options("simple_rnn", (4, 2), layers.SimpleRNN, plain={"units": 2})
layer_options("dropout", (3,), layers.Dropout, plain={"rate": 0.4})
layer_options("prelu", (3,), layers.PReLU, plain={"alpha_initializer": "ones"})


@layer((4, 2))
def bidirectional(x):
    return layers.Bidirectional(layers.LSTM(2))(x)


@layer((4,), vocabulary=5)
def embedding(x):
    return keras.activations.tanh(layers.Embedding(5, 3)(x))


@layer((4, 3))
def attention(x):
    return layers.MultiHeadAttention(num_heads=2, key_dim=2)(x, x)


@layer((4,), vocabulary=5)
def transformer(x):
    x = layers.Embedding(5, 4)(x)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x))
    return layers.LayerNormalization()(x + layers.Dense(4)(layers.Dense(6, "gelu")(x)))


@layer(PLANE)
def residual_block(x):
    y = layers.Conv2D(2, 3, padding="same")(x)
    y = keras.activations.softplus(layers.BatchNormalization()(y))
    return x + layers.Conv2D(2, 3, padding="same")(y)


@layer(PLANE)
def inverted_residual_block(x):
    """The block of MobileNetV2 (Sandler et al. 2018), as `keras.applications` writes it."""
    y = layers.Conv2D(4, 1, use_bias=False)(x)
    y = keras.activations.softplus(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = keras.activations.softplus(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(2, 1, use_bias=False)(y))
    return layers.Add()([x, y])


@layer((3,))
def shared_dense(x):
    shared = layers.Dense(3, "tanh", name="shared")
    return shared(shared(x))


@layer({"image": PLANE, "vector": (3,)})
def dict_input(inputs):
    image = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, activation="tanh")(inputs["image"]))
    return layers.Concatenate()([image, layers.Dense(2, "tanh")(inputs["vector"])])
