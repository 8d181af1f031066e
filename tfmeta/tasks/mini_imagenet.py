"""mini-ImageNet: 100 classes x 600 images, 84 x 84 x 3 (Vinyals et al. 2016).

The split is Ravi and Larochelle's (2017), 64 / 16 / 20 classes, that of MAML's and Reptile's
numbers. The files are fetched by hand; `mini_imagenet_files` says which.
"""

import collections
import io
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tfmeta.tasks import mini_imagenet_files as files
from tfmeta.tasks.cache import cached_pool, writable_directory
from tfmeta.tasks.episodes import classification_stream
from tfmeta.tasks.pool import Pool, pool_of_labels
from tfmeta.tasks.splits import SPLITS
from tfmeta.tasks.stream import TaskStream, check_choice

VERSION = "1.0.0"
IMAGE_SHAPE = (84, 84, 3)
RESIZE_FILTER = Image.Resampling.LANCZOS  # for images that are not 84 x 84 yet


def mini_imagenet(
    split: str = "train",
    ways: int | tuple[int, int] = 5,
    shots: int | tuple[int, int] | str = 1,
    queries: int = 15,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
    *,
    label_scope: str = "task",
    allow_missing_classes: bool = False,
    data_dir: str | os.PathLike | None = None,
) -> TaskStream:
    """A stream of few-shot classification tasks from mini-ImageNet.

    The first use prepares the images in `$TFMETA_CACHE_DIR` (minutes, 1.6 GB for all splits);
    then they are read as memory maps.

    Args:
        split: "train", "validation" or "test": 64, 16 or 20 classes.
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
        allow_missing_classes: go on without the classes that the CSV lists and whose images are
            not all there. `.info["classes"]` of `.info["classes_listed"]` are then used.
        data_dir: folder with the images and the CSVs. Default: `$TFMETA_DATA_DIR/mini_imagenet`,
            or `~/tensorflow_datasets/downloads/manual/mini_imagenet` where that is unset.

    Returns:
        A `TaskStream` of images float32 [N, 84, 84, 3] in [0, 1] and labels int32 [N].

    Raises:
        FileNotFoundError: if a file is missing; the message says what to fetch and where it lies.
        ValueError: for a damaged file, missing classes, or an impossible argument.
    """
    check_choice("split", split, SPLITS)
    directory = source_directory(data_dir)
    pool, listed = mini_imagenet_pool(split, directory, allow_missing_classes)
    return classification_stream(
        pool,
        name="mini_imagenet",
        split=split,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        count=count,
        start=start,
        label_scope=label_scope,
        details={
            "version": VERSION,
            "classes_listed": len(listed),
            "classes_missing": sorted(set(listed) - set(pool.class_names)),
        },
    )


def source_directory(data_dir=None) -> Path:
    """Returns the folder with the fetched files; `data_dir` overrides the environment."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if os.environ.get("TFMETA_DATA_DIR"):
        return Path(os.environ["TFMETA_DATA_DIR"]) / "mini_imagenet"
    return Path("~/tensorflow_datasets/downloads/manual/mini_imagenet").expanduser()


def mini_imagenet_pool(
    split: str, directory: Path, allow_missing_classes: bool = False
) -> tuple[Pool, list[str]]:
    """Returns the images of a split's complete classes, and the classes that its CSV lists.

    Args:
        split: "train", "validation" or "test".
        directory: folder with the fetched files.
        allow_missing_classes: False: classes that lack images are a ValueError.
    """
    listed = sorted(set(files.read_listing(directory, split).values()))
    files.source_files(directory, split)
    source = files.fingerprint(directory)

    def build():
        complete, lacking, _ = files.complete_classes(directory, split)
        if lacking and (not complete or not allow_missing_classes):
            raise files.missing_classes_error(directory, split, lacking, len(listed))
        with tempfile.TemporaryDirectory() as temporary:
            kept = writable_directory() or Path(temporary)
            return _decode(_prepare(directory, kept / f"mini_imagenet-{source}"), split)

    pool = cached_pool(f"mini_imagenet-{VERSION}-{source}-{split}", build)
    if len(pool.class_names) < len(listed) and not allow_missing_classes:
        _, lacking, _ = files.complete_classes(directory, split)
        raise files.missing_classes_error(directory, split, lacking, len(listed))
    return pool, listed


def _prepare(directory: Path, data_dir: Path):
    """The TFDS builder, its records written under `data_dir`."""
    import tensorflow_datasets as tfds  # slow to import, and needed once: then there is the cache

    from tfmeta.tasks.mini_imagenet_builder import MiniImagenet

    builder = MiniImagenet(data_dir=str(data_dir))
    config = tfds.download.DownloadConfig(manual_dir=str(directory))
    try:
        builder.download_and_prepare(download_config=config)
    except OSError:
        builder = MiniImagenet(data_dir=str(data_dir))
        if not builder.is_prepared():  # else another process has been faster
            raise
    return builder


def _decode(builder, split: str) -> Pool:
    """The decoded images of a split, in the order of class name and file name."""
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    encoded = sorted(
        (example["class_name"].decode(), example["file_name"].decode(), example["image"])
        for example in examples.as_numpy_iterator()
    )
    images = np.empty((len(encoded), *IMAGE_SHAPE), np.uint8)

    def decode_into(position):
        label, name, content = encoded[position]
        images[position] = _decode_image(f"{label}/{name}", content)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as decoders:
        collections.deque(decoders.map(decode_into, range(len(encoded))), maxlen=0)
    class_names, labels = np.unique([label for label, _, _ in encoded], return_inverse=True)
    return pool_of_labels(images, labels, class_names)


def _decode_image(name: str, content: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(content)).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"Every image of mini-ImageNet must be readable. Received: {name}: {error}. "
            "Fetch the file that holds it again."
        ) from error
    if image.size != IMAGE_SHAPE[1::-1]:
        image = image.resize(IMAGE_SHAPE[1::-1], RESIZE_FILTER)
    return np.asarray(image)
