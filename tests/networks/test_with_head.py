"""A backbone with preprocessing in front and a head behind: what it computes, what is trained."""

import inspect

import keras
import numpy as np
import pytest

import tfmeta
from tfmeta.networks import application, enable_lora, with_head
from tfmeta.networks.applications import APPLICATIONS, convention_of


def backbone(shape=(6, 6, 3), **options):
    """Two convolutions and a normalisation, as keras.applications builds them."""
    keras.utils.set_random_seed(1)
    images = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, activation="tanh", name="first")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(5, 1, activation="tanh", name="second")(x)
    return keras.Model(images, x, name="small", **options)


def trained(network):
    return sorted(variable.path for variable in network.trainable_variables)


HEAD = ["head/bias", "head/kernel"]


def test_features_are_the_backbones_of_preprocessed_pixels_averaged_and_scaled():
    network = with_head(backbone(), ways=3, preprocessing="torch", feature_norm=2.0)
    kernel = np.random.default_rng(0).normal(size=(5, 3))
    network.get_layer("head").set_weights([kernel, np.arange(3.0)])
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3)).astype("float32")
    maps = network.get_layer("small")(
        keras.applications.densenet.preprocess_input(pixels.copy()), training=False
    )
    features = np.mean(maps, axis=(1, 2))
    features *= 2 / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(network(pixels / 255), features @ kernel + np.arange(3), atol=1e-5)


def test_frozen_means_all_of_the_backbone_and_not_frozen_all_but_batch_normalisation():
    assert trained(with_head(backbone(), preprocessing="tf")) == HEAD
    every = ["first/bias", "first/kernel", *HEAD, "second/bias", "second/kernel"]
    network = with_head(backbone(), preprocessing="tf", frozen=False)
    assert trained(network) == every
    again = keras.models.Model.from_config(network.get_config())
    assert trained(again) == every
    partly = backbone()
    partly.get_layer("first").trainable = False
    asked = with_head(partly, preprocessing="tf", frozen=None)
    assert trained(asked) == [*HEAD, "norm/beta", "norm/gamma", "second/bias", "second/kernel"]


def test_low_rank_updates_freeze_the_rest():
    network = with_head(backbone(), preprocessing="tf", lora_rank=2, lora_layers=["sec*"])
    low_rank = [f"second/{name}" for name in ("bias", "lora_kernel_a", "lora_kernel_b")]
    assert trained(network) == [*HEAD, *low_rank]
    assert trained(keras.models.Model.from_config(network.get_config())) == [*HEAD, *low_rank]
    small = backbone()
    assert [layer.name for layer in enable_lora(small, 1)] == ["first", "second"]
    images = keras.Input((6, 6, 3))
    inner = backbone()
    nested = keras.Model(images, inner(images))
    enable_lora(nested, 1, [inner.get_layer("first")])
    assert trained(nested) == [f"first/{n}" for n in ("bias", "lora_kernel_a", "lora_kernel_b")]


class Scaled(keras.layers.Layer):
    """A layer of layers with weights of its own beside theirs."""

    def __init__(self):
        super().__init__(name="scaled")
        self.dense = keras.layers.Dense(3, name="dense")

    def build(self, shape):
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
        self.dense.build(shape)

    def call(self, x):
        return self.scale * self.dense(x)


def test_low_rank_updates_freeze_weights_beside_the_layers_within_a_layer():
    network = keras.Sequential([keras.Input((4,)), Scaled()], name="net")
    assert "net/scaled/scale" in trained(network)
    enable_lora(network, 2)
    names = ("bias", "lora_kernel_a", "lora_kernel_b")
    expected = [f"scaled/dense/{name}" for name in names]
    assert [path.removeprefix("net/") for path in trained(network)] == expected
    learner = tfmeta.MAML(network, inner_rate=0.1)
    assert sorted(learner.task_network.adapted_paths) == expected


def test_vectors_sequences_dicts_and_resized_images_are_taken():
    rows = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="rows")])
    assert with_head(rows, 5).output_shape == (None, 5)
    tokens, mask = (
        keras.Input((7,), dtype="int32", name="token_ids"),
        keras.Input((7,), name="mask"),
    )
    embedded = keras.layers.Embedding(9, 4)(tokens) * mask[..., None]
    outputs = {"sequence_output": embedded, "pooled_output": embedded[:, 0]}
    text = keras.Model({"token_ids": tokens, "mask": mask}, outputs)
    network = with_head(text, 2)
    given = {"token_ids": np.ones((3, 7), "int32"), "mask": np.ones((3, 7), "float32")}
    assert network(given).shape == (3, 2)
    sequence = keras.Model(text.inputs, outputs["sequence_output"])
    assert with_head(sequence, 2).get_layer("features").output.shape == (None, 4)
    resized = with_head(backbone(), 2, preprocessing="tf", image_shape=(3, 3, 3))
    assert resized.input_shape == (None, 3, 3, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "What pixels the backbone expects must be known. Received: 'small'"),
        ({"ways": 1}, "ways must be a whole number, 2 or more. Received: 1"),
        ({"preprocessing": "tf", "pixel_range": (0, 2)}, "pixel_range must be"),
        ({"preprocessing": "tf", "feature_norm": 0}, "feature_norm must be above 0"),
        ({"preprocessing": "tf", "lora_layers": ["first"]}, "lora_layers need a lora_rank"),
        ({"preprocessing": "tf", "lora_rank": 0}, "rank must be a whole number"),
        ({"preprocessing": "tf", "lora_rank": 2, "frozen": False}, "for a frozen backbone"),
        ({"preprocessing": "tf", "lora_rank": 2, "lora_layers": "third"}, "Received: 'third'"),
        ({"preprocessing": "tf", "lora_rank": 2, "lora_layers": "norm"}, "a BatchNormalization"),
        ({"preprocessing": "tf", "image_shape": (8, 8)}, "image_shape must be"),
    ],
)
def test_wrong_arguments_are_refused_by_name(options, said):
    with pytest.raises(ValueError, match=said):
        with_head(backbone(), **options)


def test_wrong_backbones_are_refused():
    classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    with pytest.raises(ValueError, match="features, not classes"):
        with_head(classifier)
    inputs = keras.Input((4,))
    named = keras.Model(inputs, keras.layers.Dense(3, name="head")(inputs))
    with pytest.raises(ValueError, match="a backbone with a layer of this name"):
        with_head(named)
    with pytest.raises(ValueError, match="must be a built functional or sequential"):
        with_head(keras.Sequential([keras.layers.Dense(3)]))
    rows = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="rows")])
    with pytest.raises(ValueError, match="are for backbones of images"):
        with_head(rows, preprocessing="tf")
    twice = backbone()
    enable_lora(twice, 1, ["second"])
    with pytest.raises(ValueError, match=r"enabled once. Received: .* has them: second"):
        enable_lora(twice, 1)


def test_every_network_of_keras_applications_is_in_the_table():
    functions = vars(keras.applications).items()
    assert {n for n, f in functions if n[0].isupper() and inspect.isroutine(f)} <= set(APPLICATIONS)


# One of each family; the smallest stands in the quick suite.
FAMILIES = [
    "MobileNetV3Small",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("MobileNet", "ResNet50V2", "EfficientNetB0")
    ),
    *(
        pytest.param(name, marks=pytest.mark.product)
        for name in (
            *("MobileNetV2", "ResNet50", "VGG16", "DenseNet121"),
            *("Xception", "InceptionV3", "NASNetMobile", "ConvNeXtTiny"),
        )
    ),
]
MODULES = {
    **{"MobileNetV3Small": "mobilenet_v3", "MobileNet": "mobilenet", "VGG16": "vgg16"},
    **{"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet50", "ResNet50V2": "resnet_v2"},
    **{"DenseNet121": "densenet", "Xception": "xception", "InceptionV3": "inception_v3"},
    **{"NASNetMobile": "nasnet", "EfficientNetB0": "efficientnet", "ConvNeXtTiny": "convnext"},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_keras_applications_sees_the_pixels_that_it_expects(name):
    size = 75 if name in ("Xception", "InceptionV3") else 32
    model = application(name, weights=None, image_size=size)
    seen = keras.Model(model.input, model.layers[0].output)  # what the backbone is given
    assert convention_of(model) == (APPLICATIONS[name][0] or "none")
    network = with_head(model, 2)
    given = keras.Model(network.input, network.get_layer("pixels").output)
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype("float32")
    preprocess = getattr(keras.applications, MODULES[name]).preprocess_input
    expected = seen(preprocess(pixels.copy()))
    np.testing.assert_allclose(given(pixels / 255), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.slow
def test_a_network_built_without_its_preprocessing_is_refused():
    model = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3), include_top=False, weights=None, include_preprocessing=False
    )
    with pytest.raises(ValueError, match="built without its preprocessing"):
        with_head(model)


def stand_in(weights, include_top, input_shape):
    """In the place of a network of keras.applications, where there is no network to download it."""
    if weights == "imagenet":
        raise Exception("URL fetch failure on https://weights")
    return backbone(input_shape)


def test_weights_that_are_not_there_or_do_not_fit_are_said(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Received: 'MobileNetV4'.*MobileNetV3Small"):
        application("MobileNetV4")
    with pytest.raises(FileNotFoundError, match="A file of weights must exist"):
        application("MobileNetV3Small", weights=tmp_path / "none.weights.h5")
    monkeypatch.setattr(keras.applications, "MobileNetV3Small", stand_in)
    model = application("MobileNetV3Small", weights=None, image_size=6)
    file = tmp_path / "right.weights.h5"
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save_weights(file)
    again = application("MobileNetV3Small", weights=file, image_size=8)
    for weight, saved in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, saved)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(file)
    with pytest.raises(ValueError, match="must hold the weights of MobileNetV3Small"):
        application("MobileNetV3Small", weights=file)
    with pytest.raises(ConnectionError, match="could not be downloaded: URL fetch failure"):
        application("MobileNetV3Small")
