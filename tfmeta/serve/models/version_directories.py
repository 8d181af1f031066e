"""Which directories under a base path are versions, and which of them to serve.

The rules are those of TF Serving's `sources/storage_path/file_system_storage_path_source.cc`.
"""

import os
import pathlib
import re

from tfmeta.serve import logs
from tfmeta.serve.errors import invalid

_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_MOST = 2**63


def find(base_path, model_name) -> dict:
    """`{version: path}` of the children whose names are integers of 64 bits, ascending.

    Raises:
        ServingError: if there is no such directory.
    """
    base_path = pathlib.Path(base_path)
    try:
        names = sorted(os.listdir(base_path))
    except OSError as error:
        raise invalid(
            f"Could not find base path {base_path} for servable {model_name} with error "
            f"{error.strerror}"
        ) from error
    found = {}
    for name in names:
        if not _INTEGER.fullmatch(name) or not -_MOST <= int(name) < _MOST:
            continue
        if int(name) in found:
            logs.warning_once(
                "duplicate_version", model=model_name, used=name, ignored=found[int(name)].name
            )
        found[int(name)] = base_path / name
    if not found:
        logs.warning_once(
            "no_version",
            model=model_name,
            reason=f"No versions of servable {model_name} found under base path {base_path}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?",
        )
    return dict(sorted(found.items()))


def aspired(found, config) -> list:
    """The versions that a model's policy wants served, ascending.

    A version that is wanted by its number and is not there is said in the log, once.

    Args:
        found: `{version: path}` of what is there.
        config: `ModelConfig`.
    """
    if config.specific:
        for number in sorted(set(config.specific) - set(found)):
            logs.warning_once(
                "version_missing",
                model=config.name,
                version=number,
                reason=f"Version {number} is wanted by the version policy and is not under "
                f"{config.base_path}. It is served once it is there.",
            )
        return [number for number in found if number in config.specific]
    return list(found)[-config.latest :] if config.latest else list(found)


def files(path) -> tuple:
    """What a directory holds: names, sizes and times, to see that it has changed."""
    seen = []
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                facts = os.stat(os.path.join(folder, name))
            except OSError:
                continue  # removed meanwhile
            seen.append((folder, name, facts.st_size, facts.st_mtime_ns))
    return tuple(sorted(seen))
