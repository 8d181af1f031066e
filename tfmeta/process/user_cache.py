"""The user's cache directory, and files in it that are whole or absent."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """Returns where prepared data goes; it need not exist yet."""
    return Path(os.environ.get("TFMETA_CACHE_DIR") or "~/.cache/tfmeta").expanduser()


def write_atomically(path: Path, write: Callable) -> None:
    """Calls `write(file)` on a temporary file beside `path`, which then takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
