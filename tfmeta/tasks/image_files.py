"""Image files of a folder and the classes that their folders name, without opening a file."""

import dataclasses
import unicodedata
from pathlib import Path

from PIL import Image

# Formats that Pillow names but does not decode by itself.
_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF")
_NEVER_READ = ("__MACOSX",)  # besides hidden names
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_READ_ALREADY = "folders that were read already"
_MOST_NAMES = 3  # of a kind, in a message


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Which files of a folder are images, and of which class.

    Attributes:
        root: the folder.
        class_names: sorted; empty for a flat folder.
        files: the images' paths, class by class.
        labels: positions in `class_names`; empty for a flat folder.
        skipped: what else lies there, relative to `root`, with the reason.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    skipped: tuple[tuple[str, str], ...]

    def describe_skipped(self) -> str:
        """One sentence with counts and examples; empty where nothing was skipped."""
        kinds: dict[str, list[str]] = {}
        for name, reason in self.skipped:
            kinds.setdefault(reason, []).append(name)
        return ", ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items())


def list_image_files(root: Path) -> ImageFiles:
    """Lists a folder's images by class: a class is a folder that holds images.

    Folders may be nested: a class is named by its path below `root`, such as "Greek/character01".
    Images in folders below a class folder belong to that class. Names are compared in Unicode's
    composed form, so folders that differ in that form alone are one class.

    Args:
        root: the folder.

    Returns:
        `ImageFiles`, in the order of class and file names.

    Raises:
        FileNotFoundError: if the folder is missing, or it or a folder in it holds no images.
        ValueError: if images lie beside class folders.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"The folder of images must exist. Received: {root}. Check the path."
        )
    listing = _Listing(root)
    loose, folders = listing.entries(root)
    if folders and loose:
        raise ValueError(
            "A folder of images holds either images or a folder a class. Received: "
            f"{root} with {len(folders)} folders and {len(loose)} images, e.g. {loose[0].name}. "
            "Move the images into folders of their classes."
        )
    if not folders and not loose:
        raise FileNotFoundError(
            f"The folder must hold images or a folder a class. Received: {root} without any"
            f"{listing.instead(root)}. Check the path."
        )
    if not folders:
        files = listing.without_copies(loose)
        return ImageFiles(root, (), tuple(files), (), tuple(listing.skipped))
    for folder in folders:
        if not listing.walk(folder, None):
            raise FileNotFoundError(
                f"Every class folder must hold images. Received: {folder} without any"
                f"{listing.instead(folder)}. Add images or remove the folder."
            )
    files, labels = [], []
    names = sorted(listing.classes)
    for label, name in enumerate(names):
        found = listing.without_copies(listing.classes[name])
        files += found
        labels += [label] * len(found)
    return ImageFiles(root, tuple(names), tuple(files), tuple(labels), tuple(listing.skipped))


def split_folders(root: Path) -> dict[str, str]:
    """The folders of `root` that divide its classes, by split; empty if they do not.

    They do where every folder is named as a split (train, val, test and the like) and none holds
    images itself.

    Raises:
        ValueError: if two folders name one split.
    """
    listing = _Listing(root)
    found: dict[str, str] = {}
    for folder in listing.entries(root)[1] if root.is_dir() else ():
        split = next((s for s, names in _SPLITS.items() if folder.name.lower() in names), None)
        if split is None or listing.entries(folder)[0]:
            return {}
        if split in found:
            raise ValueError(
                f"A split has one folder. Received: {root} with {found[split]} and {folder.name}, "
                "which are both of one split. Put their classes into one of them."
            )
        found[split] = folder.name
    return {split: found[split] for split in _SPLITS if split in found}


class _Listing:
    """Collects classes and what is passed over."""

    def __init__(self, root: Path):
        self.root = root
        self.classes: dict[str, list[Path]] = {}
        self.skipped: list[tuple[str, str]] = []
        self._seen = {root.resolve()}
        self._extensions = _extensions()

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Images and folders of a folder, in the order of their names."""
        images, folders = [], []
        for entry in sorted(folder.iterdir(), key=_order):
            if entry.name.startswith(".") or entry.name in _NEVER_READ:
                continue
            if entry.is_dir():
                folders.append(entry)
            elif not entry.exists():
                self._skip(entry, "broken links")
            elif entry.is_file() and entry.suffix.lower() in self._extensions:
                images.append(entry)
            else:
                self._skip(entry, "files of other kinds")
        return images, folders

    def walk(self, folder: Path, owner: str | None) -> int:
        """Collects the images at and below a folder; returns how many there are."""
        if folder.resolve() in self._seen:
            self._skip(folder, _READ_ALREADY)
            return 0
        self._seen.add(folder.resolve())
        images, folders = self.entries(folder)
        if owner is None and images:
            owner = composed(folder.relative_to(self.root).as_posix())
        if images and owner is not None:
            self.classes.setdefault(owner, []).extend(images)
        count = len(images) + sum(self.walk(inside, owner) for inside in folders)
        if not count:
            self._skip(folder, "folders without images")
        return count

    def without_copies(self, files: list[Path]) -> list[Path]:
        """The files, without copies whose path differs in Unicode's form alone."""
        kept: dict[str, list[Path]] = {}
        for file in files:
            path = composed(file.relative_to(self.root).as_posix())
            same_path = kept.setdefault(path, [])
            if any(_same_bytes(file, other) for other in same_path):
                self._skip(file, "copies under the same name in another Unicode form")
            else:
                same_path.append(file)
        return [file for same_path in kept.values() for file in same_path]

    def instead(self, folder: Path) -> str:
        """What a folder holds in place of images, for a message."""
        name = folder.relative_to(self.root).as_posix()
        if (name, _READ_ALREADY) in self.skipped:
            return ", since it links to a folder that was read already"
        below = [n for n, _ in self.skipped if name == "." or n.startswith(f"{name}/")]
        return f", but {len(below)} other files ({_some(below)})" if below else ""

    def _skip(self, entry: Path, reason: str) -> None:
        self.skipped.append((entry.relative_to(self.root).as_posix(), reason))


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal names are equal."""
    return unicodedata.normalize("NFC", name)


def _order(path: Path) -> tuple[str, str]:
    return composed(path.name), path.name


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _extensions() -> frozenset[str]:
    """The endings of file names that this Pillow decodes, lower case."""
    known = Image.registered_extensions()
    return frozenset(
        ending for ending, kind in known.items() if kind in Image.OPEN and kind not in _NOT_DECODED
    )
