"""Omniglot characters, as images, as bitmaps and as pen strokes of the same drawings."""

import os
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from benchmarks import demo_tensors
from tfmeta.tasks.omniglot import DRAWINGS, VERSION, omniglot_pool

ARCHIVES = ("strokes_background_small1.zip", "strokes_background_small2.zip")
SCALE = np.float32(1 / 255)  # of bytes, as in tfmeta.tasks


def images_of(split):
    """A split's characters: float32 [C, 20, 28, 28, 1], ink 1, and their names."""
    pool = omniglot_pool(split)
    images = (255 - pool.images).astype(np.float32) * SCALE
    return images.reshape(-1, DRAWINGS, *images.shape[1:]), pool.class_names


def bitmaps_of(names):
    """The data set's own drawings, uint8 [20, 105, 105] for each name, ink 0 on paper 255."""
    folder = Path(os.environ["TFMETA_DATA_DIR"]) / "tensorflow_datasets"
    builder = tfds.builder(f"omniglot:{VERSION}", data_dir=folder)
    labels = builder.info.features["label"].names
    wanted, found = set(names), defaultdict(list)
    for example in builder.as_dataset(split="train+test").as_numpy_iterator():
        name = labels[int(example["label"])]
        if name in wanted:
            found[name].append(example["image"][:, :, 0])
    return {name: np.stack(found[name]) for name in names}


def strokes_of(names):
    """Pen strokes, a list of drawings for each name that has them.

    Coordinates in the files are pixels of the 105 x 105, y downwards negative; here they are
    shares of the side, and a pixel's centre is half a pixel from its edge.
    """
    wanted, drawings = set(names), {}
    for archive in ARCHIVES:
        found = defaultdict(list)
        path = Path(os.environ["TFMETA_DATA_DIR"]) / "omniglot_strokes" / archive
        with zipfile.ZipFile(path) as files:
            for file in sorted(files.namelist()):
                parts = file.split("/")
                if parts[0] == "__MACOSX" or not file.endswith(".txt"):
                    continue
                name = f"{parts[1]}_{int(parts[2].removeprefix('character')) - 1}"
                if name in wanted:
                    found[name].append(_strokes(files.read(file).decode()))
        drawings = found | drawings  # some characters are in both archives, the same drawings
    return drawings


def _strokes(text):
    strokes = [[]]
    for line in text.split():
        if line == "BREAK":
            strokes.append([])
        elif line != "START":
            x, y, _ = (float(number) for number in line.split(","))
            side = demo_tensors.BITMAP_SIZE
            strokes[-1].append([(x + 0.5) / side, (0.5 - y) / side])
    return [stroke for stroke in strokes if stroke]


def pair(ink, bitmaps):
    """Finds which bitmap each drawing by strokes is, both of one character.

    Args:
        ink: bool [N, 105, 105], of the strokes.
        bitmaps: uint8 [N, 105, 105].

    Returns:
        (int [N], positions in `bitmaps`; float [N], the shares of ink in common).
    """
    other = bitmaps == 0
    common = np.stack([(one & other).sum((1, 2)) / (one | other).sum((1, 2)) for one in ink])
    positions, shares = np.full(len(ink), -1), np.zeros(len(ink))
    left = common.copy()
    for _ in ink:  # the surest pair first
        drawing, bitmap = np.unravel_index(left.argmax(), left.shape)
        positions[drawing], shares[drawing] = bitmap, common[drawing, bitmap]
        left[drawing], left[:, bitmap] = -1, -1
    return positions, shares
