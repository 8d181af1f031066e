"""Compiled programs kept from run to run, where TFMETA_XLA_CACHE names a directory."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

VARIABLE = "TFMETA_XLA_CACHE"
CPUINFO = Path("/proc/cpuinfo")
_LINES = ("model name", "flags", "CPU implementer", "CPU part", "Features")  # x86, then ARM
_FLAG = "--tf_xla_persistent_cache_directory"


def use_xla_cache() -> None:
    """Tells TensorFlow to keep what XLA compiles, and to load what it finds.

    TensorFlow knows a program again by its operations alone; what it made for another version of
    itself, another processor or with other flags lies in the same file name. So each such set has
    a folder of its own. Must be called before TensorFlow compiles: it reads its flags once.

    Raises:
        PermissionError: if the directory can't be made, or has a space in its path, at which
            TensorFlow divides its flags.
    """
    asked, flags = os.environ.get(VARIABLE), os.environ.get("TF_XLA_FLAGS", "")
    if not asked or _FLAG in flags:
        return
    version = importlib.metadata.version("tensorflow")
    folder = Path(asked).expanduser().resolve() / f"tensorflow-{version}-{_key(flags)}"
    if len(str(folder).split()) > 1:
        raise PermissionError(
            f"{VARIABLE} must name a directory without spaces in its path. Received: {asked!r} "
            f"({folder})."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{VARIABLE} must name a directory that can be written. Received: {asked!r} ({error})."
        ) from error
    os.environ["TF_XLA_FLAGS"] = f"{flags} {_FLAG}={folder}".strip()


def _key(flags: str) -> str:
    """The same on processors of the same model with the same features, with the same flags."""
    told = {platform.machine(), platform.processor(), flags, os.environ.get("XLA_FLAGS", "")}
    with contextlib.suppress(OSError):
        # Not all of it: other lines, such as the clock's, change from minute to minute.
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
        told |= {line for line in lines if line.startswith(_LINES)}
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()[:12]
