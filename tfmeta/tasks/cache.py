"""Prepared pools on disk: `$TFMETA_CACHE_DIR`, by default `~/.cache/tfmeta`.

A pool is two files: `<name>-<sha256>.npy` with the images, which is read as a memory map, and
`<name>.json`, written last, which names it. A cache that is damaged is built anew, one that cannot
be written is done without.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfmeta.process.user_cache import cache_directory, write_atomically
from tfmeta.tasks.pool import Pool

SCHEMA_VERSION = 1
CHECKED_BYTES = 64 * 2**20  # of a larger file only the size is checked, so that starting is quick

logger = logging.getLogger(__name__)


def cached_pool(name: str, build: Callable[[], Pool]) -> Pool:
    """Returns the cached pool `name`, which `build` makes where it is absent or damaged.

    Args:
        name: file name, with everything that decides the content (version, filter, source) in it.
        build: makes the pool.
    """
    directory = cache_directory()
    record = directory / f"{name}.json"
    if record.exists():
        try:
            return _read(directory, record)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("The cached %s is damaged and is built anew: %s", record, error)
    pool = build()
    try:
        _write(directory, name, pool)
        return _read(directory, record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be cached in %s, going on without: %s", name, directory, error)
        return pool


def writable_directory() -> Path | None:
    """Returns the cache directory, made if need be; None where nothing can be written to it."""
    directory = cache_directory()
    try:
        write_atomically(directory / "probe", lambda file: None)
        (directory / "probe").unlink()
    except OSError as error:
        logger.warning("Nothing can be kept in %s: %s", directory, error)
        return None
    return directory


def _write(directory: Path, name: str, pool: Pool) -> None:
    images = directory / f"{name}-{pool.sha256[:16]}.npy"
    write_atomically(images, lambda file: np.save(file, pool.images))
    record = {
        "schema_version": SCHEMA_VERSION,
        "images": images.name,
        "sha256": pool.sha256,
        "counts": [int(count) for count in pool.counts],
        "class_names": list(pool.class_names),
    }
    text = json.dumps(record, indent=1).encode()
    write_atomically(directory / f"{name}.json", lambda file: file.write(text))


def _read(directory: Path, record: Path) -> Pool:
    """Reads a pool; any damage is an OSError, ValueError, KeyError or TypeError."""
    content = json.loads(record.read_text())
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema version {content['schema_version']}, expected {SCHEMA_VERSION}")
    # Copy on write: writable, as sharing the memory with a tensor asks, and never written back.
    images = np.load(directory / content["images"], mmap_mode="c", allow_pickle=False)
    counts, class_names = np.asarray(content["counts"], np.int64), tuple(content["class_names"])
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != counts.sum():
        raise ValueError(f"{content['images']} is {images.dtype} {images.shape}")
    if len(class_names) != len(counts):
        raise ValueError(f"{len(class_names)} class names for {len(counts)} classes")
    if images.nbytes <= CHECKED_BYTES and hashlib.sha256(images).hexdigest() != content["sha256"]:
        raise ValueError(f"{content['images']} has another sha256 than when it was written")
    return Pool(images, counts, class_names, content["sha256"])
