"""Version directories: written beside under a name that no server reads, then renamed.

TensorFlow Serving watches EXPORT_DIR and loads each child whose name is an integer as soon as it
appears. So a version must appear whole, in one step, and never change.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import time
import uuid

MODEL_FILE = "saved_model.pb"
LITERT_FILE = "model.tflite"
TEMPORARY_PREFIX = ".tfmeta-exporting-"
LARGEST_VERSION = 2**63 - 1
SECONDS_TO_LOCK = 60.0  # far more than passes between making a directory and locking it


def versions(export_dir: str | os.PathLike) -> dict:
    """The versions under a directory: `{version: path}`, ascending; empty where none."""
    export_dir = pathlib.Path(export_dir)
    if not export_dir.is_dir():
        return {}
    found = {}
    for child in export_dir.iterdir():
        if child.name.isascii() and child.name.isdigit():
            found[int(child.name)] = child
    return dict(sorted(found.items()))


@contextlib.contextmanager
def new_version(export_dir, version=None):
    """Yields an empty directory to fill; on a clean exit it becomes the version.

    Example:

        with new_version("exported/glyphs") as directory:
            (directory.path / "saved_model.pb").write_bytes(...)
        directory.path  # exported/glyphs/1

    Args:
        export_dir: the directory of all versions; made if missing.
        version: integer from 0, or None for the next free one.

    Raises:
        FileExistsError: if the version exists; nothing of it is touched.
        ValueError: if the version is not a whole number from 0.
        OSError: if the directory cannot be written. Nothing half-written is left.
    """
    _check_version(version)
    export_dir = pathlib.Path(export_dir)
    export_dir.mkdir(parents=True, exist_ok=True)
    _refuse_existing(export_dir, version)
    _remove_left_behind(export_dir)
    temporary = export_dir / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    temporary.mkdir()
    directory = _Directory(temporary)
    try:
        with _locked(temporary):
            yield directory
            _sync_tree(temporary)
            directory.path = _publish(temporary, export_dir, version)
            _sync(export_dir)
    except BaseException:
        # Never directory.path: once it is the version, a server may have it.
        shutil.rmtree(temporary, ignore_errors=True)
        raise


class _Directory:
    """Where a version is being written, and after that, where it is."""

    def __init__(self, path):
        self.path = path


@contextlib.contextmanager
def _locked(path):
    """Yields whether this holds the directory's lock, which ends with the process that holds it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another holds it, or a file system without locks
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _remove_left_behind(export_dir):
    """Removes what killed exporters left: unlocked, and too old to be about to be locked."""
    for path in export_dir.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > SECONDS_TO_LOCK:
                with _locked(path) as left_behind:
                    if left_behind:
                        shutil.rmtree(path)


def _publish(temporary, export_dir, version):
    while True:
        target = export_dir / str(max(versions(export_dir), default=0) + 1)
        if version is not None:
            _refuse_existing(export_dir, version)
            target = export_dir / str(version)
        try:
            # A rename onto a directory with files in it fails, so of two exporters one wins.
            temporary.rename(target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def refuse_other_versions(export_dir, file, other):
    """Raises a ValueError where versions of a directory hold another format's file.

    A server loads the newest version, whatever it is, and cannot load the other format.

    Args:
        export_dir: the directory of all versions.
        file: what each version of this format holds.
        other: what versions of the other format hold.
    """
    for path in versions(export_dir).values():
        if (path / other).exists() and not (path / file).exists():
            raise ValueError(
                "The versions of a directory must have one format, since a server loads the "
                f"newest. Received: {path}, which holds {other}, for a version with {file}. "
                "Choose another export_dir."
            )


def _refuse_existing(export_dir, version):
    if version is not None and version in versions(export_dir):
        raise FileExistsError(
            f"A version is never overwritten: a server may be using it. Received: "
            f"version={version}, which is in {export_dir}. Choose another, or leave it out for the "
            "next free one."
        )


def _check_version(version):
    if version is None:
        return
    whole = isinstance(version, int) and not isinstance(version, bool)
    if not whole or not 0 <= version <= LARGEST_VERSION:
        raise ValueError(
            f"A version must be a whole number from 0 that 64 bits hold. Received: "
            f"version={version!r}. Leave it out for the next free one."
        )


def _sync_tree(path):
    for folder, _, files in os.walk(path):
        for name in files:
            _sync(pathlib.Path(folder) / name)
        _sync(folder)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
