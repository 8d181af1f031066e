"""Checksums of a version's graph, variables and assets: a changed byte is found before it serves.

TensorFlow checks the bytes of variables, but a graph with a flipped bit may load and answer
wrongly.
"""

import hashlib
import pathlib

CHECKSUM_FILE = "assets.extra/SHA256SUMS"
_APART = "assets.extra"  # where operators may add warmup records


def write_checksums(path) -> None:
    """Writes the checksum file of a finished version.

    `sha256sum -c assets.extra/SHA256SUMS` in the version directory checks it, and so does the
    embedded server before it loads the version.

    Args:
        path: version directory.
    """
    path = pathlib.Path(path)
    names = sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.is_file() and file.relative_to(path).parts[0] != _APART
    )
    target = path / CHECKSUM_FILE
    target.parent.mkdir(exist_ok=True)
    target.write_text("".join(f"{_digest(path / name)}  {name}\n" for name in names))


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
