"""Omniglot: 1623 handwritten characters, 20 drawings each (Lake et al. 2015), through TFDS.

Classes are divided as in Santoro et al. 2016, and as MAML and Reptile do: 1200 for training, 423
for testing, by a shuffle, here a fixed one. Drawings come as 28 x 28 x 1.
"""

import contextlib
import os
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from tfmeta.tasks.cache import cached_pool
from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import Pool, pool_of_labels
from tfmeta.tasks.splits import SPLITS, split_classes
from tfmeta.tasks.stream import TaskStream, check_choice, check_whole_number

VERSION = "3.0.0"  # of the TFDS data set
SOURCE = "https://github.com/brendenlake/omniglot"  # from where TFDS downloads it
SECONDS_TO_CONNECT = 10.0
CHARACTERS = 1623
DRAWINGS = 20
TEST_CHARACTERS = 423
IMAGE_SIZE = 28
RESIZE_FILTER = Image.Resampling.LANCZOS  # that of MAML's authors; whoever draws anew uses it too
ROTATIONS = (None, "classes", "random")


def omniglot(
    split: str = "train",
    ways: int | tuple[int, int] = 5,
    shots: int | tuple[int, int] | str = 1,
    queries: int = 15,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    label_scope: str = "task",
    rotations: str | None = "random",
    invert: bool = True,
    validation_classes: int = 100,
    data_dir: str | os.PathLike | None = None,
) -> TaskStream:
    """A stream of few-shot classification tasks from Omniglot.

    The defaults are MAML's (1100 / 100 / 423 characters, random rotations, ink 1 on paper 0).
    Reptile's are `rotations="classes", invert=False, validation_classes=0` (1200 / 423).

    Args:
        split: "train", "validation" or "test".
        ways: classes a task, or the least and the most, of which each task draws a number.
        shots: support drawings a class; or the least and the most, of which each task draws one;
            or "meta_dataset", as Meta-Dataset draws them (`docs/guides/any_ways.md`). Tasks of
            different sizes are padded, with weights that say so.
        queries: query drawings a class; with "meta_dataset" at most so many.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        label_scope: "task": labels 0 .. ways - 1, drawn anew for each task; "split": the position
            of a class among those of the split (for training one classifier of all classes).
        rotations: None; "classes": in training the turns by 0, 90, 180 and 270 degrees are four
            classes, other splits are not turned; "random": each class of a task is turned by a
            random multiple of 90 degrees, in every split, and no character is in a task twice.
        invert: ink 1 on paper 0; False: ink 0 on paper 1, as scanned.
        validation_classes: how many of the 1200 characters are kept for validation.
        data_dir: TFDS's data directory. Default: `$TFMETA_DATA_DIR/tensorflow_datasets`, or
            TFDS's own where that is unset. Omniglot is downloaded if it is not there.

    Returns:
        A `TaskStream` of images float32 [N, 28, 28, 1] in [0, 1] and labels int32 [N].

    Raises:
        ValueError: for an impossible argument.
        FileNotFoundError: if Omniglot is neither prepared nor to be had.
    """
    check_choice("split", split, SPLITS)
    check_choice("rotations", rotations, ROTATIONS)
    check_whole_number("validation_classes", validation_classes, 0)
    if validation_classes > CHARACTERS - TEST_CHARACTERS:
        raise ValueError(
            f"validation_classes come out of the {CHARACTERS - TEST_CHARACTERS} characters for "
            f"training. Received: {validation_classes}. Pass fewer."
        )
    pool = omniglot_pool(split, validation_classes, data_dir)
    sha256 = pool.sha256
    images = 255 - pool.images if invert else pool.images
    pool = Pool(images, pool.counts, pool.class_names, sha256)
    if rotations == "classes" and split == "train":
        pool = _rotations_as_classes(pool)
    details = {
        "version": VERSION,
        "rotations": rotations,
        "invert": bool(invert),
        "validation_classes": validation_classes,
        "resize_filter": RESIZE_FILTER.name.lower(),
    }
    return classification_stream(
        pool,
        name="omniglot",
        split=split,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        count=count,
        start=start,
        label_scope=label_scope,
        rotate=rotations == "random",
        details=details,
    )


def omniglot_pool(split: str, validation_classes: int = 100, data_dir=None) -> Pool:
    """Returns the drawings of a split, uint8 28 x 28 x 1, ink 0 on paper 255.

    Args:
        split: "train", "validation" or "test".
        validation_classes: how many of the 1200 characters are kept for validation.
        data_dir: TFDS's data directory; None as in `omniglot`.
    """
    classes = split_classes(CHARACTERS, split, validation_classes, TEST_CHARACTERS)
    if not len(classes):
        raise ValueError(
            f"The {split} split is empty. Received: validation_classes={validation_classes}. "
            "Keep characters for it, e.g. validation_classes=100, or use another split."
        )
    name = f"omniglot-{VERSION}-{IMAGE_SIZE}-{RESIZE_FILTER.name.lower()}"
    return cached_pool(name, lambda: _read_characters(data_dir)).select(classes)


def resize_drawing(image: np.ndarray) -> np.ndarray:
    """Shrinks a drawing, uint8 [height, width], to uint8 [28, 28] by `RESIZE_FILTER`."""
    return np.asarray(Image.fromarray(image).resize((IMAGE_SIZE, IMAGE_SIZE), RESIZE_FILTER))


def _read_characters(data_dir) -> Pool:
    """All characters of both TFDS splits, by label; a character's drawings by their content."""
    builder = _prepared_builder(data_dir)
    drawings: list[list[bytes]] = [[] for _ in range(CHARACTERS)]
    for example in builder.as_dataset(split="train+test").as_numpy_iterator():
        drawing = resize_drawing(np.ascontiguousarray(example["image"][:, :, 0]))
        drawings[int(example["label"])].append(drawing.tobytes())
    names = builder.info.features["label"].names
    for label, found in enumerate(drawings):
        if len(found) != DRAWINGS:
            raise ValueError(
                f"Each of Omniglot's {CHARACTERS} characters has {DRAWINGS} drawings. Received: "
                f"{len(found)} of {names[label]} in {builder.data_dir}. Delete that directory and "
                "let it be prepared again."
            )
    # Sorted, so that the order does not depend on how TFDS shuffled while preparing.
    ordered = b"".join(drawing for found in drawings for drawing in sorted(found))
    images = np.frombuffer(ordered, np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)
    return pool_of_labels(images, np.repeat(np.arange(CHARACTERS), DRAWINGS), names)


def _prepared_builder(data_dir):
    """TFDS's builder of Omniglot, with its data on disk."""
    import tensorflow_datasets as tfds  # slow to import, and needed once: then there is the cache

    if data_dir is None and os.environ.get("TFMETA_DATA_DIR"):
        data_dir = Path(os.environ["TFMETA_DATA_DIR"]) / "tensorflow_datasets"
    builder = tfds.builder(f"omniglot:{VERSION}", data_dir=data_dir)
    if not builder.is_prepared():
        try:
            _check_source(Path(builder.data_dir).parents[1])
            print(f"Omniglot: downloading and preparing it in {builder.data_dir}", flush=True)
            builder.download_and_prepare()
        except Exception as error:
            raise FileNotFoundError(
                f"Omniglot {VERSION} is not in {builder.data_dir}, and downloading it failed: "
                f"{type(error).__name__}: {error}. Where there is a network, prepare it by "
                "`python -c \"import tensorflow_datasets as tfds; tfds.load('omniglot')\"`, copy "
                "its `tensorflow_datasets` folder here, and pass that as data_dir, or set "
                "TFMETA_DATA_DIR to the folder that holds it."
            ) from error
    return builder


def _check_source(data_dir):
    """Raises where the data is yet to come and its host can't be reached: TFDS retries long."""
    if (data_dir / "downloads").exists():
        return
    request = urllib.request.Request(SOURCE, method="HEAD")
    # With an HTTPError somebody answered; TFDS says better what is wrong with the data itself.
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=SECONDS_TO_CONNECT).close()


def _rotations_as_classes(pool: Pool) -> Pool:
    """The classes, then the same turned by 90, by 180 and by 270 degrees, as other classes."""
    turned = [np.rot90(pool.images, turns, axes=(1, 2)) for turns in range(4)]
    names = [f"{name}@{90 * turns}" for turns in range(4) for name in pool.class_names]
    return Pool(np.concatenate(turned), np.tile(pool.counts, 4), tuple(names), pool.sha256)
