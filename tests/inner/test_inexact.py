"""Layers without exact second derivatives are named before training, and no others are."""

import inspect
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfmeta
from tfmeta.inner import check_exactness


def lambda_layer(function, name="suspect"):
    return layers.Lambda(function, name=name)


DROPPED = {
    "bilinear upsampling": (
        lambda: layers.UpSampling2D(interpolation="bilinear", name="suspect"),
        "ResizeBilinearGrad",
    ),
    "resizing": (lambda: layers.Resizing(4, 4, name="suspect"), "ResizeBilinearGrad"),
    "fake quantisation": (
        lambda: lambda_layer(tf.quantization.fake_quant_with_min_max_args),
        "FakeQuantWithMinMaxArgsGradient",
    ),
    "spectral normalisation": (
        lambda: layers.SpectralNormalization(layers.Conv2D(2, 3), name="suspect"),
        "by design",
    ),
}
if "renorm" in inspect.signature(layers.BatchNormalization).parameters:
    DROPPED["renormalisation"] = (
        lambda: layers.BatchNormalization(renorm=True, name="suspect"),
        "by design",
    )
REFUSED = {
    "softsign": (lambda: layers.Activation("softsign", name="suspect"), "SoftsignGrad"),
    "softsign in a layer with weights": (
        lambda: layers.Conv2D(2, 1, activation="softsign", name="suspect"),
        "SoftsignGrad",
    ),
    "softsign in a function": (lambda: lambda_layer(tf.function(tf.nn.softsign)), "SoftsignGrad"),
    "softsign in a loop": (
        lambda: lambda_layer(
            lambda x: tf.while_loop(
                lambda i, _: i < 2, lambda i, x: (i + 1, tf.nn.softsign(x)), (0, x)
            )[1]
        ),
        "SoftsignGrad",
    ),
    "local response normalisation": (
        lambda: lambda_layer(tf.nn.local_response_normalization),
        "LRNGrad",
    ),
    "bicubic upsampling": (
        lambda: layers.UpSampling2D(interpolation="bicubic", name="suspect"),
        "ResizeBicubicGrad",
    ),
    "dilation": (
        lambda: lambda_layer(
            lambda x: tf.nn.dilation2d(
                x, tf.zeros([2, 2, 2]), [1, 1, 1, 1], "SAME", "NHWC", [1, 1, 1, 1]
            )
        ),
        "Dilation2DBackpropInput",
    ),
    "max pooling with argmax": (
        lambda: lambda_layer(lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0]),
        "MaxPoolGradWithArgmax",
    ),
}


def network_with(layer):
    # Names as Keras gives them by itself: "conv" and "conv_1" must not be mistaken.
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 1, name="conv"),
            layer,
            layers.Conv2D(2, 1, name="conv_1"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )


def compiled(learner):
    learner.compile("sgd", "mse")
    return learner


@pytest.mark.parametrize("case", DROPPED)
def test_a_layer_whose_second_derivative_is_dropped_is_named(case):
    make, operation = DROPPED[case]
    findings = check_exactness(network_with(make()))
    assert [(f.layer, f.refused) for f in findings] == [("suspect", False)]
    assert operation in findings[0].operation


@pytest.mark.parametrize("case", REFUSED)
def test_a_layer_whose_second_derivative_does_not_exist_is_named(case):
    make, operation = REFUSED[case]
    findings = check_exactness(network_with(make()))
    assert [(f.layer, f.refused, f.operation) for f in findings] == [("suspect", True, operation)]


def test_tensorflow_would_refuse_what_is_reported_as_refused():
    network = network_with(layers.Activation("softsign"))
    kernel = network.trainable_variables[0].value
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(tf.ones([1, 6, 6, 1])) ** 2)
        gradient = tape.gradient(loss, kernel)
    with pytest.raises(LookupError, match="SoftsignGrad"):
        outer.gradient(gradient, kernel)


def test_exact_layers_are_not_named():
    exact = keras.Sequential(
        [
            layers.BatchNormalization(),
            layers.MaxPooling2D(2, strides=1, padding="same"),
            layers.UpSampling2D(),
            layers.LayerNormalization(),
            layers.UnitNormalization(),
            layers.Dropout(0.5),
            layers.Reshape((12, 24)),
            layers.LSTM(12, return_sequences=True),
            layers.Reshape((12, 12, 1)),
        ]
    )
    assert check_exactness(network_with(exact)) == []


def test_inputs_may_be_resized_since_no_derivative_reaches_them():
    network = keras.Sequential([keras.Input((8, 8, 1)), layers.Resizing(4, 4), layers.Conv2D(1, 3)])
    assert check_exactness(network) == []


def test_a_gradient_stopped_by_the_user_is_not_reported():
    assert check_exactness(network_with(lambda_layer(tf.stop_gradient))) == []


def test_the_layers_below_the_only_ones_that_adapt_need_no_second_derivative():
    network = network_with(layers.Activation("softsign"))
    compiled(tfmeta.MAML(network, adapted="head/*"))
    with pytest.raises(ValueError, match="SoftsignGrad"):
        compiled(tfmeta.MAML(network, adapted=["conv/*"]))


def test_a_network_with_a_dict_of_inputs_and_a_subclassed_one_are_checked():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    x = layers.Dense(2)(layers.Concatenate()([inputs["a"], inputs["b"]]))
    network = keras.Model(inputs, layers.Dense(1, name="head")(keras.activations.softsign(x)))
    assert [f.operation for f in check_exactness(network)] == ["SoftsignGrad"]

    subclassed = Subclassed()
    subclassed(np.zeros([1, 3], "float32"))
    assert [f.layer for f in check_exactness(subclassed)] == ["first"]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(2, activation="softsign", name="first")
        self.second = layers.Dense(2)

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_checking_leaves_the_network_as_it_is():
    network = network_with(layers.SpectralNormalization(layers.Conv2D(2, 3)))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
    before = network(x).numpy(), [v.numpy() for v in network.variables], network.get_config()

    check_exactness(network)

    assert np.array_equal(before[0], network(x))
    assert all(np.array_equal(a, b) for a, b in zip(before[1], network.variables, strict=True))
    assert before[2] == network.get_config()


def test_checking_the_omniglot_network_is_quick():
    network = tfmeta.networks.conv4()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert check_exactness(network) == []
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


@pytest.mark.parametrize("make", [tfmeta.MAML, tfmeta.MetaSGD, tfmeta.IMAML])
def test_second_order_learners_warn_once_and_refuse_by_name(make):
    learner = make(network_with(DROPPED["resizing"][0]()))
    with pytest.warns(UserWarning, match=r"suspect \(Resizing\).*ResizeBilinearGrad.*nearest"):
        compiled(learner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(learner)

    refusing = make(network_with(REFUSED["softsign"][0]()))
    with pytest.raises(ValueError, match=r"suspect \(Activation\).*SoftsignGrad.*first_order"):
        compiled(refusing)


@pytest.mark.parametrize(
    "make", [lambda n: tfmeta.MAML(n, first_order=True), tfmeta.Reptile], ids=["maml", "reptile"]
)
@pytest.mark.parametrize("case", ["resizing", "softsign"])
def test_first_order_learners_do_neither(make, case):
    layer = {**DROPPED, **REFUSED}[case][0]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(make(network_with(layer)))
