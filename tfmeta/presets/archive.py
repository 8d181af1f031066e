"""The file of a preset: a zip of arrays and JSON, read as what a stranger may have made.

Entries are stored, not compressed: trained weights hardly shrink, and what is not compressed
cannot grow when it is read. Nothing is unpacked to the disk, and no array holds Python objects.
"""

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import struct
import tokenize
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.process.user_cache import write_atomically

SCHEMA_VERSION = 1
SUFFIX = ".npz"
_INFO = "preset.json"
_REQUIRED = (
    *("name", "learner", "export", "training", "evaluation"),
    *("made_with", "license", "data_license", "limits"),
)
_GROUPS = ("parameters", "state")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_KINDS = "fiub"  # of arrays: floats, integers, booleans
_MOST_ENTRIES = 20_000
_MOST_INFO_BYTES = 16 * 2**20
_OBJECTS = ("learner", "export", "training", "evaluation", "made_with")  # JSON objects
# What zipfile and numpy raise for bytes that they were not made for.
_NO_ZIP = (
    *(zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError),
    *(struct.error, OverflowError, LookupError, UnicodeError),
)
_NO_ARRAY = (
    *(ValueError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError),
    *(LookupError, AttributeError, struct.error, tokenize.TokenError, Warning),
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same preset has the same hash


@dataclasses.dataclass(frozen=True, eq=False)
class Preset:
    """A learned initialisation.

    Attributes:
        info: what the JSON says: `name`, `learner` (a Keras configuration), `export`, `training`,
            `evaluation` (the run's evaluation.json), `made_with`, `license`, `data_license`,
            `limits`.
        arrays: arrays by "parameters/<path>" and "state/<path>".
        sha256: of the file, 64 hexadecimal digits; empty where there is no file yet.
    """

    info: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    sha256: str = ""

    @property
    def name(self) -> str:
        """Name of the preset."""
        return self.info["name"]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Arrays of a group by their paths.

        Args:
            name: "parameters" or "state".
        """
        start = f"{name}/"
        return {
            key.removeprefix(start): array
            for key, array in self.arrays.items()
            if key.startswith(start)
        }


def write_preset(preset: Preset, path: str | os.PathLike) -> Path:
    """Writes a preset; the same preset gives the same bytes.

    Args:
        preset: what to write.
        path: the file, which ends in ".npz". An existing file is replaced.

    Returns:
        The path.

    Raises:
        ValueError: if the preset could not be read back.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(
            f"A preset is one file that ends in {SUFFIX}. Received: {path}. Write "
            f"{path.with_suffix(SUFFIX)}."
        )
    content = _content(preset)
    _read(io.BytesIO(content), str(path))
    write_atomically(path, lambda file: file.write(content))
    return path


def read_preset(path: str | os.PathLike, sha256: str | None = None) -> Preset:
    """Reads a preset from its file.

    Args:
        path: the file.
        sha256: that the file must have, 64 hexadecimal digits in any case; None: any.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the hash is another, or the file is not a preset, or holds more than arrays
            and JSON.
    """
    content = Path(path).read_bytes()  # once: what is hashed is what is read
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise wrong_hash(str(path), sha256.lower(), digest)
    info, arrays = _read(io.BytesIO(content), str(path))
    return Preset(info, arrays, digest)


def wrong_hash(where: str, wanted: str, got: str) -> ValueError:
    """The error of a file whose hash is not the one that is asked for."""
    return ValueError(
        f"A preset must have the hash that is asked for. Received: {where} with sha256 {got} where "
        f"{wanted} is asked for. It is another file, or was changed: do not use it."
    )


def _content(preset: Preset) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(
            {"schema_version": SCHEMA_VERSION, **preset.info}, indent=1, allow_nan=False
        )
        archive.writestr(zipfile.ZipInfo(_INFO, _EPOCH), text + "\n")
        for key, array in preset.arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", _EPOCH), entry.getvalue())
    return buffer.getvalue()


def _read(file, where: str) -> tuple[dict, dict]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_entries(entries, file, where)
            info = _info(archive, where)
            arrays = {
                entry.filename.removesuffix(".npy"): _array(archive, entry, where)
                for entry in entries
                if entry.filename != _INFO
            }
    except _NO_ZIP as error:
        raise _refused(where, f"no whole zip file ({error})") from error
    return info, arrays


def _check_entries(entries: list[zipfile.ZipInfo], file, where: str) -> None:
    """Refuses what is not stored as it is, has a strange name, or is larger than the file."""
    names = [entry.filename for entry in entries]
    if len(names) > _MOST_ENTRIES or len(set(names)) != len(names):
        raise _refused(where, f"{len(names)} entries, some more than once or too many")
    for entry in entries:
        if entry.filename != _INFO and not _is_array_name(entry.filename):
            raise _refused(where, f"an entry named {entry.filename!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _refused(where, f"{entry.filename!r}, which is compressed or encrypted")
        if entry.file_size != entry.compress_size:
            raise _refused(where, f"{entry.filename!r} with two sizes")
    size = file.seek(0, os.SEEK_END)
    if sum(entry.file_size for entry in entries) > size:
        raise _refused(where, f"entries larger than the file's {size} bytes")


def _is_array_name(name: str) -> bool:
    group, *path = name.split("/")
    return (
        name.endswith(".npy")
        and group in _GROUPS
        and bool(path)
        and name.isprintable()
        and not any(part in ("", ".", "..") for part in path)
        and not any(letter in name for letter in '\\:*?"<>|')
    )


def _info(archive: zipfile.ZipFile, where: str) -> dict:
    try:
        entry = archive.getinfo(_INFO)
    except KeyError:
        raise _refused(where, f"no {_INFO}") from None
    if entry.file_size > _MOST_INFO_BYTES:
        raise _refused(where, f"{_INFO} of {entry.file_size} bytes")
    try:
        info = json.loads(archive.read(entry).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refused(where, f"{_INFO} that is no JSON ({error})") from error
    if not isinstance(info, dict) or info.get("schema_version") != SCHEMA_VERSION:
        version = info.get("schema_version") if isinstance(info, dict) else None
        raise _refused(
            where,
            f"schema_version {version!r} where this version of tfmeta reads {SCHEMA_VERSION}",
        )
    lacking = [name for name in _REQUIRED if name not in info]
    if lacking:
        raise _refused(where, f"{_INFO} without {', '.join(lacking)}")
    if not isinstance(info["name"], str) or not _NAME.fullmatch(info["name"]):
        raise _refused(where, f"the name {info['name']!r}")
    strange = [name for name in _OBJECTS if not isinstance(info[name], dict)]
    limits = info["limits"]
    if not isinstance(limits, list) or not all(isinstance(limit, str) for limit in limits):
        strange.append("limits")
    if not isinstance(info["license"], str):
        strange.append("license")
    if strange:
        raise _refused(where, f"{_INFO} with {', '.join(strange)} of another type")
    return info


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    """An array whose header says no more than its bytes hold, since the header is believed."""
    content = archive.read(entry)
    try:
        dtype, shape, fortran, begin = _header(content)
    except _NO_ARRAY as error:
        raise _refused(where, f"{entry.filename!r}, no array ({error})") from error
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise _refused(where, f"{entry.filename!r} of type {dtype}")
    count, size = math.prod(shape), len(content) - begin
    if min(shape, default=0) < 0 or count * dtype.itemsize != size:
        raise _refused(where, f"{entry.filename!r}, {size} bytes for shape {str(shape)[:80]}")
    try:
        flat = np.frombuffer(content, dtype, count, begin)
        array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    except _NO_ARRAY as error:  # more axes, or a longer empty one, than numpy has
        raise _refused(where, f"{entry.filename!r}, no array ({error})") from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _refused(where, f"{entry.filename!r} with numbers that are not finite")
    return array


def _header(content: bytes) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """Type, shape and order of an array's file, and where its numbers begin."""
    data = io.BytesIO(content)
    version = np.lib.format.read_magic(data)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    elif version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    else:
        raise ValueError(f"format {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a header of Python 2, which is no preset's
        shape, fortran, dtype = read(data)
    return dtype, shape, fortran, data.tell()


def _refused(where: str, what: str) -> ValueError:
    return ValueError(
        "A preset is a file of arrays and JSON, as `python -m tfmeta.presets` writes it. Received: "
        f"{where} with {what}. Make it anew, or take another file."
    )
