"""Files that are whole or absent (temporary name, fsync, rename), and a work directory's lock."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tfmeta.runs.recipe import RecipeError, RunError

LOCK = ".lock"


def sync(path: Path) -> None:
    """Makes a file's contents, or a directory's entries, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a crash, sees the old one or the new one whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


def write_json(path: Path, value) -> None:
    """Writes JSON as `write_text` does; numbers that JSON lacks (NaN) are an error."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Gives a temporary directory to fill, which gets its name when everything in it is on disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds a work directory for this process; the lock dies with the process, however it ends.

    Raises:
        RecipeError: if another process has it, or it cannot be written.
    """
    with disk_errors(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = open(workdir / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 (held until the end)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            file.seek(0)
            raise RecipeError(
                f"A work directory serves one process at a time. Received: {workdir}, in which "
                f"process {file.read().strip() or 'unknown'} is at work. Wait for it, end it, or "
                "choose another --workdir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


_ADVICE = {
    errno.ENOSPC: "The disk is full: make room",
    errno.EDQUOT: "The disk quota is used up: make room",
    errno.EROFS: "The file system is read-only: choose another {flag}",
    errno.EACCES: "It may not be written: change its permissions or choose another {flag}",
    errno.EPERM: "It may not be written: change its permissions or choose another {flag}",
    errno.ENOTDIR: "A part of the path is a file: choose another {flag}",
    errno.EISDIR: "A folder lies where a file must be: remove it or choose another {flag}",
    errno.EEXIST: "It is a file: choose another {flag}",
    errno.EFBIG: "The file-size limit is reached: raise it",
    errno.EIO: "The disk fails: choose another {flag}",
}


@contextlib.contextmanager
def disk_errors(folder: Path, flag: str = "--workdir") -> Iterator[None]:
    """Turns a full disk or a directory that can't be written into words.

    Args:
        folder: what is written.
        flag: that names it, for the advice.

    Raises:
        RunError: what happened, and that the last whole checkpoint is still there.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        whole = ": what was saved before is whole, and the run goes on from there"
        raise RunError(
            f"{flag} must be a directory that can be written. Received: {error.strerror} "
            f"({error.filename or folder}). {_ADVICE[error.errno].format(flag=flag)}, then give "
            f"the same command again{whole if flag == '--workdir' else ''}."
        ) from error
