"""The networks of keras.applications: their pixels, their usual image sizes, their weights."""

import warnings
from pathlib import Path

import keras

# By the classes of keras.applications: what a network wants to see (`Pixels`; None: it has its own
# preprocessing inside), and the height and width of the images that it was trained on.
_GROUPS = (
    ("caffe", 224, "ResNet50 ResNet101 ResNet152 VGG16 VGG19"),
    ("tf", 224, "MobileNet MobileNetV2 NASNetMobile ResNet50V2 ResNet101V2 ResNet152V2"),
    ("tf", 299, "InceptionResNetV2 InceptionV3 Xception"),
    ("tf", 331, "NASNetLarge"),
    ("torch", 224, "DenseNet121 DenseNet169 DenseNet201"),
    (None, 224, "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge"),
    (None, 224, "EfficientNetB0 EfficientNetV2B0 MobileNetV3Large MobileNetV3Small"),
    (None, 240, "EfficientNetB1 EfficientNetV2B1"),
    (None, 260, "EfficientNetB2 EfficientNetV2B2"),
    (None, 300, "EfficientNetB3 EfficientNetV2B3"),
    (None, 380, "EfficientNetB4"),
    (None, 384, "EfficientNetV2S"),
    (None, 456, "EfficientNetB5"),
    (None, 480, "EfficientNetV2L EfficientNetV2M"),
    (None, 528, "EfficientNetB6"),
    (None, 600, "EfficientNetB7"),
)
APPLICATIONS = {
    name: (convention, size) for convention, size, names in _GROUPS for name in names.split()
}

# Layers by which a network of a family is known, whatever the network is called.
_SIGNS = (
    ({"conv2_block1_out", "post_bn"}, "tf"),  # ResNetV2
    ({"conv2_block1_out", "conv2_block1_add"}, "caffe"),  # ResNet
    ({"block1_conv1", "block2_sepconv1"}, "tf"),  # Xception
    ({"block1_conv1", "block1_pool", "block5_pool"}, "caffe"),  # VGG
    ({"conv2_block1_concat", "pool2_pool"}, "torch"),  # DenseNet
    ({"conv_dw_1", "conv_pw_13"}, "tf"),  # MobileNet
    ({"Conv1", "expanded_conv_depthwise"}, "tf"),  # MobileNetV2
    ({"mixed0", "mixed10"}, "tf"),  # InceptionV3
    ({"mixed_5b", "conv_7b"}, "tf"),  # InceptionResNetV2
    ({"stem_conv1", "stem_bn1"}, "tf"),  # NASNet
)
# Families that have their preprocessing inside unless it was left out.
_INSIDE = (
    {"conv", "expanded_conv_depthwise"},  # MobileNetV3
    {"stem_conv", "top_conv"},  # EfficientNet, EfficientNetV2
)
_CONVNEXT = "_stage_3_block_0_depthwise_conv"
_PREPROCESSING = (keras.layers.Rescaling, keras.layers.Normalization)


def convention_of(backbone: keras.Model) -> str | None:
    """What pixels a network of keras.applications expects: a convention of `Pixels`.

    The network is known by names of its layers. "none" stands for pixels 0..255, which a network
    with its own preprocessing takes.

    Args:
        backbone: a `keras.Model`.

    Returns:
        A convention; None for a network that is not of keras.applications.

    Raises:
        ValueError: for a network that was built with `include_preprocessing=False`.
    """
    if type(backbone).__module__.split(".")[0] != "keras":
        return None  # KerasHub's backbones are classes of their own, and may share layer names.
    names = {layer.name for layer in backbone.layers}
    if any(signs <= names for signs in _INSIDE) or any(n.endswith(_CONVNEXT) for n in names):
        if any(isinstance(layer, _PREPROCESSING) for layer in backbone.layers[:4]):
            return "none"
        raise ValueError(
            f"What pixels the backbone expects is not known. Received: {backbone.name!r}, built "
            "without its preprocessing. Leave include_preprocessing=False out, or say what it "
            "expects by preprocessing=."
        )
    return next((convention for signs, convention in _SIGNS if signs <= names), None)


def application(
    name: str, weights: str | None = "imagenet", image_size: int | None = None
) -> keras.Model:
    """A network of keras.applications without its classifier, by its name.

    Example:
        >>> from tfmeta import networks
        >>> networks.application("MobileNetV3Small", weights=None, image_size=32).output_shape
        (None, 1, 1, 576)

    Args:
        name: as in keras.applications, such as "MobileNetV3Small" or "ResNet50".
        weights: "imagenet", which Keras downloads once to ~/.keras; the path of a weights file of
            the network without its classifier; or None for random weights.
        image_size: height and width of the images; None: the network's own (224 for most).

    Returns:
        A functional `keras.Model` from images [N, image_size, image_size, 3] to feature maps.

    Raises:
        ValueError: for an unknown name, or a file whose weights do not fit.
        FileNotFoundError: for a weights file that is missing.
        ConnectionError: if the weights could not be downloaded.
    """
    build = getattr(keras.applications, name, None) if name in APPLICATIONS else None
    if build is None:
        raise ValueError(
            f"A network must be one of keras.applications. Received: {name!r}. "
            f"Known: {', '.join(sorted(APPLICATIONS))}."
        )
    size = APPLICATIONS[name][1] if image_size is None else image_size
    options = {"include_top": False, "input_shape": (size, size, 3)}
    if weights is None:
        return build(weights=None, **options)
    if weights == "imagenet":
        return _downloaded(name, build, options)
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"A file of weights must exist. Received: {weights}. Check the path, or take "
            "'imagenet', which is downloaded."
        )
    backbone = build(weights=None, **options)
    try:
        with warnings.catch_warnings(record=True) as said:  # by the hundred for a wrong file
            backbone.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"A weights file must hold the weights of {name} without its classifier, as "
            f"keras.Model.save_weights writes them (*.weights.h5). Received: {weights}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    for warning in said:
        warnings.warn(warning.message, warning.category, stacklevel=2)
    return backbone


def _downloaded(name, build, options):
    try:
        return build(weights="imagenet", **options)
    except ValueError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a download fails.
        raise ConnectionError(
            f"The weights of {name} could not be downloaded: {error}. Download them where there "
            "is a network: Keras keeps them in ~/.keras/models, which you can copy here. Or pass "
            "a file of weights, or random weights."
        ) from error
