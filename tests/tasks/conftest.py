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


@pytest.fixture
def mini_imagenet_files(tmp_path):
    """A small stand-in in the layout of the fetched files: tars and CSVs.

    Image k of class c of a split is grey of value 10 * c + k.
    """
    directory = tmp_path / "mini_imagenet"
    directory.mkdir()
    for stem, classes in CLASSES.items():
        rows = ["filename,label"]
        with tarfile.open(directory / f"{stem}.tar", "w") as tar:
            for label in range(classes):
                for image in range(IMAGES):
                    name = f"{stem}{label}_{image}.jpg"
                    rows.append(f"{name},{stem}{label}")
                    content = jpeg(10 * label + image)
                    member = tarfile.TarInfo(f"anything/{stem}{label}/{name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        (directory / f"{stem}.csv").write_text("\n".join(rows) + "\n")
    return directory
