"""Images from folders: a folder a class, or one flat folder, read as one uint8 array."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tfmeta.tasks.brightness import Levels, brightness_levels
from tfmeta.tasks.image_files import ImageFiles, list_image_files

RESIZE_FILTER = Image.Resampling.LANCZOS
LARGEST_KEPT = 128  # images that all share a size up to this keep it
DEFAULT_SIZE = 84  # otherwise; mini-ImageNet's
_GREY = ("1", "L", "LA", "La", "F")  # and every mode of integers, "I..."
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 274
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """What a folder holds.

    Attributes:
        images: uint8 [N, height, width, channels].
        labels: int32 [N], positions in `class_names`; None for a flat folder.
        class_names: names of the class folders, sorted; empty for a flat folder.
        file_names: where each image lies, relative to the folder.
        skipped: what else lies there, relative to the folder, with the reason.
        levels: black and white of images of more than 8 bits; None where there is none.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    file_names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    levels: Levels | None = None


def load_image_folder(
    path: str | os.PathLike,
    image_shape: tuple[int, int, int] | None = None,
    levels: Levels | None = None,
) -> ImageFolder:
    """Reads every image of a folder: of its class folders, or its own where it has none.

    What Pillow decodes is read, whatever the format. Of several pictures in a file the first is
    read. Photographs are turned upright as their EXIF data say, transparent parts become white,
    and the whole picture is stretched to `image_shape`.

    Grey images of more than 8 bits become 8 bits on one scale for the whole folder, so that a dim
    image stays dimmer than a bright one. White is the largest value of the fewest bits (8, 10,
    12, ...) that hold the brightest pixel of the folder; for floats of at most 1 it is 1. Colour
    images of 16 bits a channel keep the upper 8, as Pillow reads them.

    Folders may be nested: a class is a folder that holds images, named by its path below `path`.
    Images in folders below a class folder belong to that class. Hidden files and folders are
    passed over; what else is no image is counted and named in one warning.

    Example:

    >>> import pathlib, tempfile, tfmeta
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (8, 6)).save(folder / name / "1.webp")
    >>> loaded = tfmeta.tasks.load_image_folder(folder)
    >>> loaded.class_names, loaded.images.shape
    (('cat', 'dog'), (2, 6, 8, 3))

    Args:
        path: the folder.
        image_shape: (height, width, channels) with 1 or 3 channels. None: the size that all
            images share if it is at most 128 x 128, else 84 x 84; one channel if all are grey.
        levels: black and white of images of more than 8 bits, such as those of another folder
            that this one must be comparable with. None: as above.

    Returns:
        An `ImageFolder`, in the order of class name and file name.

    Raises:
        FileNotFoundError: if the folder, or any image in it, is missing.
        ValueError: for an image that cannot be read (named), or an impossible `image_shape`.
    """
    root = Path(path).expanduser()
    listed = list_image_files(root)
    if listed.skipped:
        warnings.warn(
            f"Not everything in {root} is read. Passed over: {listed.describe_skipped()}. Convert "
            "or replace files that should count, and remove the others.",
            stacklevel=2,
        )
    return read_image_files(listed, image_shape, levels)


def read_image_files(
    listed: ImageFiles,
    image_shape: tuple[int, int, int] | None = None,
    levels: Levels | None = None,
) -> ImageFolder:
    """Reads the images of a listing; see `load_image_folder`."""
    files = listed.files
    shape = _check_shape(image_shape) if image_shape is not None else _infer_shape(files)
    images = np.empty((len(files), *shape), np.uint8)
    deep: dict[int, np.ndarray] = {}
    ranges: dict[int, tuple[bool, float, float]] = {}

    def read_into(position):
        image = _open(files[position])
        if _is_deep(image):
            values, ranges[position] = _deep_values(image, files[position])
            deep[position] = np.asarray(_resized(Image.fromarray(values), shape))
        else:
            eight_bits = image.convert("L" if shape[2] == 1 else "RGB")
            images[position] = np.asarray(_resized(eight_bits, shape)).reshape(shape)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as readers:
        list(readers.map(read_into, range(len(files))))
    if deep:
        levels = levels or brightness_levels(ranges.values())
        for position, values in deep.items():
            grey = levels.to_bytes(np.asarray(values), ranges[position][0])
            images[position] = grey[..., np.newaxis]
    names = tuple(file.relative_to(listed.root).as_posix() for file in files)
    labels = np.asarray(listed.labels, np.int32) if listed.class_names else None
    return ImageFolder(
        images, labels, listed.class_names, names, listed.skipped, levels if deep else None
    )


def _open(file: Path) -> Image.Image:
    """An image upright, and white where it is transparent."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
        if not _is_deep(image) and (image.mode in _TRANSPARENT or "transparency" in image.info):
            image = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image.load()
        return image if _is_deep(image) else image.convert("L" if image.mode in _GREY else "RGB")
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def _is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits a channel."""
    return image.mode.startswith("I") or image.mode == "F"


def _deep_values(image: Image.Image, file: Path) -> tuple[np.ndarray, tuple[bool, float, float]]:
    """Values float32 [height, width]; whether they are floats, the smallest, the largest."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _unreadable(file, ValueError("it holds values that are not finite"))
    return values.astype(np.float32), (image.mode == "F", low, high)


def _resized(image: Image.Image, shape: tuple[int, int, int]) -> Image.Image:
    height, width, _ = shape
    return image if image.size == (width, height) else image.resize((width, height), RESIZE_FILTER)


def _infer_shape(files: tuple[Path, ...]) -> tuple[int, int, int]:
    sizes, grey = set(), True
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(_upright_size(image))
                grey = grey and (image.mode in _GREY or image.mode.startswith("I"))
        except _UNREADABLE as error:
            raise _unreadable(file, error) from error
    width, height = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)
    if max(width, height) > LARGEST_KEPT:
        width, height = DEFAULT_SIZE, DEFAULT_SIZE
    return height, width, 1 if grey else 3


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as shown; of a PNG, reading more than its header would decode it."""
    turned = image.format != "PNG" or "exif" in image.info
    if turned and image.getexif().get(_ORIENTATION) in _TURNED:
        return image.size[::-1]
    return image.size


def _check_shape(image_shape) -> tuple[int, int, int]:
    shape = tuple(image_shape)
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise ValueError(
            "image_shape must be (height, width, channels) with 1 or 3 channels. "
            f"Received: {image_shape!r}. Pass e.g. (84, 84, 3)."
        )
    return shape


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Every image must be readable. Received: {file}: {error}. Replace or remove that file."
    )
