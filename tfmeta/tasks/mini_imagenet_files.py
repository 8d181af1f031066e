"""The files of mini-ImageNet as they are fetched by hand: tars or a folder of JPEGs, and CSVs.

Ravi and Larochelle 2017: 100 classes of ImageNet with 600 images each, 64 for training, 16 for
validation, 20 for testing; `train.csv`, `val.csv` and `test.csv` (filename,label) say which. An
image belongs to the row that has its file name, whatever folder it lies in.
"""

import csv
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

NAMES = {"train": "train", "validation": "val", "test": "test"}  # split -> stem of its files
FETCH = """mini-ImageNet may not be redistributed, so its files are fetched by hand:
  - train.csv, val.csv, test.csv (filename,label): Ravi and Larochelle's split, in
    https://github.com/twitter-research/meta-learning-lstm, data/miniImagenet
  - the images those name, 100 classes x 600: either tars train*.tar, val*.tar, test*.tar that hold
    <class>/<file>.jpg at any depth, or a folder images/ with <file>.jpg. From ImageNet (ILSVRC
    2012) they are made by e.g. https://github.com/yaoyao-liu/mini-imagenet-tools"""
HTML_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")
TAR_BLOCK = 512


def read_listing(directory: Path, split: str) -> dict[str, str]:
    """Returns file name -> class of every image of a split, from its CSV.

    Raises:
        FileNotFoundError: if there is no such CSV.
        ValueError: if it is not one.
    """
    path = directory / f"{NAMES[split]}.csv"
    if not path.is_file():
        raise FileNotFoundError(_explained(f"{path.name} is missing", directory))
    _refuse_web_page(path, directory)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            listing = {
                row["filename"].strip(): row["label"].strip() for row in csv.DictReader(file)
            }
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            _explained(f"{path.name} is not a CSV of filename,label ({error!r})", directory)
        ) from error
    if not listing:
        raise ValueError(_explained(f"{path.name} lists no image", directory))
    return listing


def source_files(directory: Path, split: str) -> list[Path]:
    """Returns the tars of a split, or the images folder.

    Raises:
        FileNotFoundError: if there is neither.
    """
    folder = directory / "images"
    if folder.is_dir():
        return [folder]
    tars = sorted(directory.glob(f"{NAMES[split]}*.tar"))
    if not tars:
        missing = f"{NAMES[split]}*.tar is missing, and there is no folder images/"
        raise FileNotFoundError(_explained(missing, directory))
    return tars


def iterate_images(directory: Path, split: str, read: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every JPEG of a split's files, listed or not.

    Args:
        directory: where the files lie.
        split: "train", "validation" or "test".
        read: False: names only, the contents are empty.

    Raises:
        ValueError: if a tar is truncated, a web page, or no tar.
    """
    for source in source_files(directory, split):
        if source.is_dir():
            for path in sorted(source.iterdir()):
                yield path.name, path.read_bytes() if read else b""
        else:
            yield from _iterate_tar(source, directory, read)


def complete_classes(
    directory: Path, split: str
) -> tuple[list[str], dict[str, tuple[int, int]], dict[str, str]]:
    """Returns which classes of a split have all their images.

    Returns:
        The complete classes, sorted; the others with (images found, images listed); and the
        listing, file name -> class, of the complete ones.
    """
    listing = read_listing(directory, split)
    present = {name for name, _ in iterate_images(directory, split, read=False)}
    listed: dict[str, int] = {}
    found: dict[str, int] = {}
    for name, label in listing.items():
        listed[label] = listed.get(label, 0) + 1
        found[label] = found.get(label, 0) + (name in present)
    lacking = {label: (found[label], n) for label, n in listed.items() if found[label] < n}
    kept = {name: label for name, label in listing.items() if label not in lacking}
    return sorted(set(listed) - set(lacking)), lacking, kept


def fingerprint(directory: Path) -> str:
    """Returns 16 hexadecimal digits that change with the CSVs, and with name or size of a file."""
    digest = hashlib.sha256()
    for split in NAMES:
        listing = directory / f"{NAMES[split]}.csv"
        digest.update(listing.read_bytes() if listing.is_file() else b"none")
    sources = directory / "images" if (directory / "images").is_dir() else directory
    with os.scandir(sources) as entries:
        kept = [entry for entry in entries if entry.name.lower().endswith((".tar", ".jpg"))]
        for entry in sorted(kept, key=lambda entry: entry.name):
            digest.update(f"{entry.name} {entry.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def missing_classes_error(
    directory: Path, split: str, lacking: dict[str, tuple[int, int]], listed: int
) -> ValueError:
    """The error for classes that the CSV lists and the images lack."""
    examples = [f"{label} ({found} of {of} images)" for label, (found, of) in lacking.items()]
    shown = ", ".join(examples[:5]) + (", ..." if len(examples) > 5 else "")
    return ValueError(
        _explained(
            f"{len(lacking)} of the {listed} classes of {split} lack images: {shown}", directory
        )
        + "\nPass allow_missing_classes=True to go on without these classes; .info then says how "
        "many there were."
    )


def _iterate_tar(path: Path, directory: Path, read: bool) -> Iterator[tuple[str, bytes]]:
    _refuse_web_page(path, directory)
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                if member.isfile():
                    content = tar.extractfile(member) if read else None
                    yield member.name.rsplit("/", 1)[-1], content.read() if content else b""
        if not _ends_as_tar(path):
            raise tarfile.ReadError("its end is missing")
    except (tarfile.TarError, EOFError, OSError) as error:
        size = path.stat().st_size
        raise ValueError(
            _explained(
                f"{path.name} ({size:,} bytes) is truncated or no tar ({error}); fetch it again",
                directory,
            )
        ) from error


def _ends_as_tar(path: Path) -> bool:
    """Whether an uncompressed tar ends with the block of zeros that its format asks for."""
    with open(path, "rb") as file:
        if file.read(262)[257:] != b"ustar":
            return True  # compressed: reading it through has checked the end
        file.seek(-TAR_BLOCK, os.SEEK_END)
        return not any(file.read())


def _refuse_web_page(path: Path, directory: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(1024).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith(HTML_STARTS):
        raise ValueError(
            _explained(
                f"{path.name} is a web page (HTML), not the file: the download asked something or "
                "its link is dead; fetch it again",
                directory,
            )
        )


def _explained(problem: str, directory: Path) -> str:
    return f"mini-ImageNet in {directory}: {problem}.\n{FETCH}\nPut them into {directory}."
