"""What the tests of tasks share: a private cache, and files in the layout of mini-ImageNet."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = {"train": 6, "val": 3, "test": 4}  # of the small stand-in, 5 images each
IMAGES = 5


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache directory of this test alone."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("TFMETA_CACHE_DIR", str(directory))
    return directory


@pytest.fixture(scope="session")
def data_dir():
    """Where the real data lie; skips the test where they do not."""
    directory = os.environ.get("TFMETA_DATA_DIR")
    if not directory:
        pytest.skip("TFMETA_DATA_DIR is not set: no real data")
    if not Path(directory).is_dir():
        pytest.skip(f"TFMETA_DATA_DIR={directory} does not exist: no real data")
    return Path(directory)


def jpeg(value: int, size=(84, 84)) -> bytes:
    """A JPEG of one grey value."""
    content = io.BytesIO()
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(content, "JPEG")
    return content.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    """Writes an uncompressed tar of these files."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def mini_imagenet_files(tmp_path):
    """A small stand-in in the layout of the fetched files: tars and CSVs.

    Image k of class c of a split is grey of value 10 * c + k.
    """
    directory = tmp_path / "mini_imagenet"
    directory.mkdir()
    for stem, classes in CLASSES.items():
        names = [
            (label, k, f"{stem}{label}_{k}.jpg") for label in range(classes) for k in range(IMAGES)
        ]
        rows = [f"{name},{stem}{label}" for label, _, name in names]
        (directory / f"{stem}.csv").write_text("\n".join(["filename,label", *rows]) + "\n")
        members = {f"any/{stem}{c}/{name}": jpeg(10 * c + k) for c, k, name in names}
        write_tar(directory / f"{stem}.tar", members)
    return directory
