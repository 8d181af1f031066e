"""Few-shot classification tasks from a folder of images, a folder a class."""

import functools
import os
from pathlib import Path
from typing import cast

import numpy as np

from tfmeta.tasks.brightness import Levels
from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.image_files import list_image_files, split_folders
from tfmeta.tasks.image_folder import load_image_folder
from tfmeta.tasks.pool import Pool, pool_of_labels
from tfmeta.tasks.splits import split_by_folders, split_by_fractions
from tfmeta.tasks.stream import TaskStream


def from_directory(
    path: str | os.PathLike,
    split: str = "train",
    ways: int | tuple[int, int] = 5,
    shots: int | tuple[int, int] | str = 1,
    queries: int = 15,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    label_scope: str = "task",
    image_shape: tuple[int, int, int] | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    shuffle_seed: int = 0,
) -> TaskStream:
    """A stream of few-shot classification tasks from your own images.

    `path` holds a folder a class, as `load_image_folder` reads it; folders may be nested. The
    classes are divided into train, validation and test by a fixed shuffle. Where the folders of
    `path` are named train, val and test, the classes are divided by them instead. Images are
    decoded once a process, into memory.

    Example:

    >>> import pathlib, tempfile, tfmeta
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog", "emu"):
    ...     (folder / name).mkdir()
    ...     for image in range(3):
    ...         Image.new("RGB", (8, 6), (image, 0, 0)).save(folder / name / f"{image}.png")
    >>> stream = tfmeta.tasks.from_directory(folder, "all", ways=2, shots=1, queries=2)
    >>> (support_x, support_y, query_x), query_y = stream.sample(0)
    >>> support_x.shape, query_y.shape
    (TensorShape([2, 6, 8, 3]), TensorShape([4]))

    Args:
        path: the folder.
        split: "train", "validation", "test", or "all" for tasks of all classes.
        ways: classes a task, or the least and the most, of which each task draws a number.
        shots: support images a class; or the least and the most, of which each task draws one;
            or "meta_dataset", as Meta-Dataset draws them (`docs/guides/any_ways.md`). Tasks of
            different sizes are padded, with weights that say so.
        queries: query images a class; with "meta_dataset" at most so many.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        label_scope: "task": labels 0 .. ways - 1, drawn anew for each task; "split": the position
            of a class among those of the split (for training one classifier of all classes).
        image_shape: (height, width, channels) to which images are resized; None: the size that
            all images share if it is at most 128 x 128, else 84 x 84.
        validation_fraction: share of the classes that is the validation split; without effect
            where folders divide the classes.
        test_fraction: share of the classes that is the test split; the same.
        shuffle_seed: of the shuffle that divides the classes; the same.

    Returns:
        A `TaskStream` of images float32 [N, height, width, channels] in [0, 1] and labels
        int32 [N].

    Raises:
        FileNotFoundError: if the folder or a class folder holds no images.
        ValueError: for an unreadable image (named), too few classes or images, or a split that
            no folder is named by.
    """
    root = Path(path).expanduser().resolve()
    shape = None if image_shape is None else tuple(image_shape)
    pool, levels = _directory_pool(root, shape, _state(root))
    folders = split_folders(root)
    details: dict = {"levels": levels.as_json()} if levels else {}
    if folders:
        pool = split_by_folders(pool, split, folders, root)
        details["split_folders"] = folders
    else:
        pool = split_by_fractions(pool, split, validation_fraction, test_fraction, shuffle_seed)
        details["validation_fraction"] = validation_fraction
        details["test_fraction"] = test_fraction
        details["shuffle_seed"] = shuffle_seed
    return classification_stream(
        pool,
        name=root.name,
        split=split,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        count=count,
        start=start,
        label_scope=label_scope,
        details=details,
    )


def _state(root: Path) -> tuple:
    """What the folder holds now, so that a changed folder is read again."""
    listed = list_image_files(root)
    if not listed.class_names:
        raise ValueError(
            "Tasks are made of classes: the folder must hold a folder a class. Received: "
            f"{root} with {len(listed.files)} images and no folder. Sort them into folders named "
            "by class."
        )
    stats = [file.stat() for file in listed.files]
    return tuple(
        zip(listed.files, ((stat.st_size, stat.st_mtime_ns) for stat in stats), strict=True)
    )


@functools.lru_cache(maxsize=2)
def _directory_pool(root: Path, image_shape, state: tuple) -> tuple[Pool, Levels | None]:
    folder = load_image_folder(root, image_shape)
    labels = cast(np.ndarray, folder.labels)  # `_state` refuses a folder without classes
    return pool_of_labels(folder.images, labels, folder.class_names), folder.levels
