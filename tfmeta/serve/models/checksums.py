"""Checks a version's files against the checksums that its export wrote."""

import hashlib
import pathlib
import re

from tfmeta.serve.errors import Code, ServingError

CHECKSUM_FILE = "assets.extra/SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (?!/)(?!.*\.\.)(.+)")


def check(path) -> None:
    """Refuses a version of which a file is not the one that was exported.

    Args:
        path: version directory; one without a checksum file passes.

    Raises:
        ServingError: DATA_LOSS if a file differs or the checksum file cannot be read, NOT_FOUND if
            a file is missing.
    """
    sums = pathlib.Path(path) / CHECKSUM_FILE
    if not sums.exists():
        return
    for line in sums.read_text("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            raise ServingError(Code.DATA_LOSS, f"Cannot read the checksum {line[:100]!r} in {sums}")
        expected, name = found.groups()
        try:
            with open(pathlib.Path(path) / name, "rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise ServingError(
                Code.NOT_FOUND, f"Could not find {name} in {path}, which {CHECKSUM_FILE} lists"
            ) from None
        if actual != expected:
            raise ServingError(
                Code.DATA_LOSS,
                f"{name} in {path} is not the file that was exported: its SHA-256 is {actual}, "
                f"{CHECKSUM_FILE} says {expected}",
            )
