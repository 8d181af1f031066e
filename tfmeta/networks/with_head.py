"""A pretrained network with a head for few-shot tasks."""

from collections.abc import Callable, Sequence

import keras

from tfmeta.networks.applications import convention_of
from tfmeta.networks.lora import enable_lora
from tfmeta.networks.pixels import CONVENTIONS, Pixels, check_range

HEAD = "head"
FEATURE_NORM = 4.0


def with_head(
    backbone: keras.Model,
    ways: int = 20,
    *,
    frozen: bool | None = True,
    lora_rank: int | None = None,
    lora_layers: Sequence[str | keras.layers.Layer] | None = None,
    pixel_range: tuple[int, int] = (0, 1),
    preprocessing: str | Callable = "auto",
    image_shape: tuple[int, int, int] | None = None,
    feature_norm: float | None = FEATURE_NORM,
    name: str | None = None,
) -> keras.Model:
    """Puts preprocessing in front of a pretrained network, and a linear head behind it.

    The result is a network for every learner. Its last layer, `head`, is linear and begins at
    zero. With a frozen backbone the head is all that adapts, so an adapted network is
    (features + 1) x ways numbers. `tfmeta.head_learner` chooses a learner for it.

    Example:
        >>> import keras, tfmeta
        >>> backbone = keras.applications.MobileNetV3Small(
        ...     input_shape=(32, 32, 3), include_top=False, weights=None)
        >>> network = tfmeta.networks.with_head(backbone, ways=8)
        >>> network.output_shape, [v.path for v in network.trainable_variables]
        ((None, 8), ['head/kernel', 'head/bias'])

    Args:
        backbone: a built `keras.Model` without its classifier: of keras.applications
            (`include_top=False`), of KerasHub, or your own. It is wrapped, not copied. Maps
            [N, height, width, C] and sequences [N, length, C] are averaged to features [N, C]; of
            a dict of outputs, "pooled_output" is taken.
        ways: the most classes of a task.
        frozen: True: no weight of the backbone is trained or adapts. False: all are, but batch
            normalisation keeps its averages, scales and offsets. None: as the backbone's layers
            say by `trainable`.
        lora_rank: None, or the rank of the low-rank updates (LoRA) of `lora_layers`, which then
            adapt beside the head. The rest of the backbone is frozen.
        lora_layers: layers that get low-rank updates, or their names. None: all dense,
            convolutional and embedding layers of the backbone.
        pixel_range: (0, 1), as the streams of `tfmeta.tasks` give images, or (0, 255). Other
            pixels are refused when the network is called.
        preprocessing: "auto": what a network of keras.applications expects, or nothing for a
            backbone that takes no images. Else "caffe", "tf", "torch" or "none" (0 .. 255), as of
            `tfmeta.networks.Pixels`, or a layer from pixels 0 .. 255 to the backbone's inputs,
            such as KerasHub's `ImageConverter`.
        image_shape: (height, width, 3) of the images that the network is given, which are
            then resized to the backbone's. None: the backbone's own.
        feature_norm: features are scaled to this Euclidean norm; None: left as they are.
        name: of the network; None: the backbone's name and "_with_head".

    Returns:
        A functional `keras.Model` from what the backbone takes to logits [N, ways].

    Raises:
        ValueError: if an argument does not fit the backbone; if the backbone has a classifier; if
            it is not known what pixels it expects.
    """
    _check_arguments(backbone, ways, feature_norm)
    inputs, given = _inputs(backbone, pixel_range, preprocessing, image_shape)
    features = _features(backbone, backbone(given))
    if feature_norm is not None:
        features = keras.layers.UnitNormalization(name="unit_features")(features)
        features = keras.layers.Rescaling(feature_norm, name="scaled_features")(features)
    head = keras.layers.Dense(ways, kernel_initializer="zeros", name=HEAD)
    outputs = head(features)
    _freeze(backbone, frozen, lora_rank, lora_layers)
    return keras.Model(inputs, outputs, name=name or f"{backbone.name}_with_head")


def _check_arguments(backbone, ways, feature_norm):
    if not isinstance(backbone, keras.Model) or not getattr(backbone, "inputs", None):
        raise ValueError(
            "backbone must be a built functional or sequential keras.Model. Received: "
            f"{backbone!r}. Build it first, such as "
            "keras.applications.MobileNetV3Small(include_top=False)."
        )
    if isinstance(ways, bool) or not isinstance(ways, int) or ways < 2:
        raise ValueError(f"ways must be a whole number, 2 or more. Received: {ways!r}.")
    if feature_norm is not None and not feature_norm > 0:
        raise ValueError(f"feature_norm must be above 0 or None. Received: {feature_norm!r}.")
    last = backbone.layers[-1]
    if getattr(last, "activation", None) is keras.activations.softmax:
        raise ValueError(
            "The backbone must give features, not classes. Received: "
            f"{backbone.name!r}, whose last layer {last.name!r} is a softmax. Build it with "
            "include_top=False."
        )
    taken = [v.path for v in backbone.variables if v.path.startswith(f"{HEAD}/")]
    if taken:
        raise ValueError(
            f"The new last layer is called {HEAD!r}. Received: a backbone with a layer of this "
            f"name ({taken[0]}). Rename the layer, or take the backbone without it."
        )


def _inputs(backbone, pixel_range, preprocessing, image_shape):
    """The network's inputs, and what the backbone is called with."""
    structure = getattr(backbone, "_inputs_struct", backbone.inputs)
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    image = isinstance(structure, keras.KerasTensor) and len(structure.shape) == 4
    if not image:
        if preprocessing not in ("auto", "none") or image_shape is not None:
            raise ValueError(
                "preprocessing and image_shape are for backbones of images [height, width, "
                f"channels]. Received: {backbone.name!r}, which takes "
                f"{keras.tree.map_structure(lambda tensor: tensor.shape, structure)}. Leave them "
                "out."
            )
        inputs = keras.tree.map_structure(
            lambda t: keras.Input(t.shape[1:], dtype=t.dtype, name=t.name), structure
        )
        return inputs, inputs
    check_range(pixel_range)
    wanted = tuple(structure.shape)[1:]
    inputs = images = keras.Input(
        _image_shape(backbone, wanted, image_shape), dtype=structure.dtype, name="images"
    )
    if preprocessing == "auto":
        preprocessing = convention_of(backbone)
        if preprocessing is None:
            raise ValueError(
                "What pixels the backbone expects must be known. Received: "
                f"{backbone.name!r}, which is not known. Pass preprocessing="
                f"{', '.join(map(repr, CONVENTIONS))} (see tfmeta.networks.Pixels), or a layer "
                "from pixels 0 .. 255 to the backbone's inputs."
            )
    convention = "none" if callable(preprocessing) else preprocessing
    images = Pixels(pixel_range, convention, name="pixels", dtype=structure.dtype)(images)
    if callable(preprocessing):
        images = preprocessing(images)
    if None not in wanted[:2] and tuple(images.shape)[1:3] != wanted[:2]:
        images = keras.layers.Resizing(*wanted[:2], name="resized")(images)
    return inputs, images


def _image_shape(backbone, wanted, image_shape):
    shape = wanted if image_shape is None else tuple(image_shape)
    if len(shape) != 3 or shape[2] != wanted[2] or None in shape:
        raise ValueError(
            f"image_shape must be (height, width, {wanted[2]}) for this backbone. Received: "
            f"{image_shape!r} for {backbone.name!r} of images {wanted}. Pass image_shape, or "
            "build the backbone with input_shape."
        )
    return shape


def _features(backbone, outputs):
    if isinstance(outputs, dict):
        if "pooled_output" not in outputs:
            raise ValueError(
                'Of a dict of outputs "pooled_output" is taken. Received: '
                f"{', '.join(map(str, outputs))} of {backbone.name!r}. Take one: keras.Model("
                "backbone.inputs, backbone.output[...])."
            )
        outputs = outputs["pooled_output"]
    rank = len(outputs.shape) if isinstance(outputs, keras.KerasTensor) else 0
    pooling = {
        2: lambda name: keras.layers.Identity(name=name),
        3: lambda name: keras.layers.GlobalAveragePooling1D(name=name),
        4: lambda name: keras.layers.GlobalAveragePooling2D(name=name),
    }.get(rank)
    if pooling is None:
        raise ValueError(
            "The backbone must give one tensor: features [N, C], a sequence [N, length, C] or "
            f"maps [N, height, width, C]. Received: {backbone.name!r} with outputs {outputs}."
        )
    return pooling("features")(outputs)


def _freeze(backbone, frozen, lora_rank, lora_layers):
    if lora_rank is not None:
        if not frozen:
            raise ValueError(
                "Low-rank updates (LoRA) are for a frozen backbone. Received: lora_rank="
                f"{lora_rank!r} with frozen={frozen!r}. Leave frozen out."
            )
        enable_lora(backbone, lora_rank, lora_layers)
        return
    if lora_layers is not None:
        raise ValueError("lora_layers need a lora_rank. Received: none. Pass e.g. lora_rank=4.")
    if frozen is None:
        return
    backbone.trainable = not frozen
    for layer in backbone._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
