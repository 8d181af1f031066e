"""Images from folders: a folder a class, or one flat folder, read as one uint8 array."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
RESIZE_FILTER = Image.Resampling.LANCZOS
LARGEST_KEPT = 128  # images that all share a size up to this keep it
DEFAULT_SIZE = 84  # otherwise; mini-ImageNet's


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """What a folder holds.

    Attributes:
        images: uint8 [N, height, width, channels].
        labels: int32 [N], positions in `class_names`; None for a flat folder.
        class_names: names of the class folders, sorted; empty for a flat folder.
        file_names: where each image lies, relative to the folder.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    file_names: tuple[str, ...]


def load_image_folder(path, image_shape: tuple[int, int, int] | None = None) -> ImageFolder:
    """Reads every image of a folder: of its class folders, or its own where it has none.

    PNG, JPEG, BMP and GIF (the first picture) are read; hidden files and other extensions are
    passed over. Photographs are turned upright as their EXIF data say, transparent parts become
    white, and the whole picture is stretched to `image_shape`.

    Args:
        path: the folder.
        image_shape: (height, width, channels) with 1 or 3 channels. None: the size that all
            images share if it is at most 128 x 128, else 84 x 84; one channel if all are grey.

    Returns:
        An `ImageFolder`, in the order of class name and file name.

    Raises:
        FileNotFoundError: if the folder, or any image in it, is missing.
        ValueError: for an image that cannot be read (named), or an impossible `image_shape`.
    """
    root = Path(path).expanduser()
    class_names, files, labels = list_image_files(root)
    shape = _check_shape(image_shape) if image_shape is not None else _infer_shape(files)
    images = np.empty((len(files), *shape), np.uint8)

    def read_into(position):
        images[position] = read_image(files[position], shape)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as readers:
        collections.deque(readers.map(read_into, range(len(files))), maxlen=0)
    names = tuple(file.relative_to(root).as_posix() for file in files)
    return ImageFolder(
        images, np.asarray(labels, np.int32) if class_names else None, class_names, names
    )


def list_image_files(root: Path) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """Returns class names, image files and their labels (no names, no labels: a flat folder)."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"The folder of images must exist. Received: {root}. Check the path."
        )
    folders = sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    loose = _images_in(root)
    if folders and loose:
        raise ValueError(
            "A folder of images holds either images or a folder a class. Received: "
            f"{root} with {len(folders)} folders and {len(loose)} images, e.g. {loose[0].name}. "
            "Move the images into folders of their classes."
        )
    if not folders and not loose:
        raise FileNotFoundError(
            f"The folder must hold images ({', '.join(EXTENSIONS)}) or a folder a class. "
            f"Received: {root} without any. Check the path."
        )
    if not folders:
        return (), loose, []
    files, labels = [], []
    for label, folder in enumerate(folders):
        found = _images_in(folder)
        if not found:
            raise FileNotFoundError(
                f"Every class folder must hold images ({', '.join(EXTENSIONS)}). "
                f"Received: {folder} without any. Add images or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    return tuple(folder.name for folder in folders), files, labels


def read_image(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Reads one image as uint8 [height, width, channels]; an unreadable one is a ValueError."""
    height, width, channels = shape
    try:
        with Image.open(file) as opened:
            image = _flattened(ImageOps.exif_transpose(opened))
        image = image.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error
    if image.size != (width, height):
        image = image.resize((width, height), RESIZE_FILTER)
    return np.asarray(image).reshape(shape)


def _flattened(image: Image.Image) -> Image.Image:
    """Eight bits a channel, and white where the image is transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        scale = 257.0 if values.max(initial=0) > 255 else 1.0
        return Image.fromarray(np.clip(values / scale, 0, 255).astype(np.uint8))
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _infer_shape(files: list[Path]) -> tuple[int, int, int]:
    sizes, grey = set(), True
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
                grey = grey and image.mode in ("1", "L", "LA", "I", "I;16", "F")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _unreadable(file, error) from error
    width, height = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)
    if max(width, height) > LARGEST_KEPT:
        width, height = DEFAULT_SIZE, DEFAULT_SIZE
    return height, width, 1 if grey else 3


def _check_shape(image_shape) -> tuple[int, int, int]:
    shape = tuple(image_shape)
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise ValueError(
            "image_shape must be (height, width, channels) with 1 or 3 channels. "
            f"Received: {image_shape!r}. Pass e.g. (84, 84, 3)."
        )
    return shape


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".") and entry.is_file()
    )


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Every image must be readable. Received: {file}: {error}. Replace or remove that file."
    )
