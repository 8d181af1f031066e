"""Compiled programs kept from run to run, where TFMETA_XLA_CACHE names a directory."""

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

VARIABLE = "TFMETA_XLA_CACHE"
_FLAG = "--tf_xla_persistent_cache_directory"


def use_xla_cache() -> None:
    """Tells TensorFlow to keep what XLA compiles, and to load what it finds.

    TensorFlow knows a program again by its operations alone; what it made for another version of
    itself or another processor lies in the same file name. So each pair has a folder of its own.
    Must be called before TensorFlow compiles: it reads its flags once.

    Raises:
        PermissionError: if the directory can't be made.
    """
    asked, flags = os.environ.get(VARIABLE), os.environ.get("TF_XLA_FLAGS", "")
    if not asked or _FLAG in flags:
        return
    version = importlib.metadata.version("tensorflow")
    folder = Path(asked).expanduser().resolve() / f"tensorflow-{version}-{_processor_key()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{VARIABLE} must name a directory that can be written. Received: {asked!r} ({error})."
        ) from error
    os.environ["TF_XLA_FLAGS"] = f"{flags} {_FLAG}={folder}".strip()


def _processor_key() -> str:
    """The same on processors of the same model with the same features."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.machine(), platform.processor()]
    names = ("model name", "flags", "Features", platform.machine(), platform.processor())
    told = sorted({line for line in lines if line.startswith(names)})
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
