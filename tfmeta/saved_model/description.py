"""`assets.extra/tfmeta.json`: what the model is, for clients and for people."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import numpy as np

from tfmeta.saved_model.adapted_weights import layout
from tfmeta.saved_model.servable import Servable
from tfmeta.saved_model.task_axis import STATUS_MEANINGS

DESCRIPTION_FILE = "assets.extra/tfmeta.json"
SCHEMA_VERSION = 1
LIBRARIES = ("tfmeta", "tensorflow", "keras", "numpy")


def describe(servable: Servable, signatures: Any, limits: Any) -> dict:
    """The metadata of an export, as JSON holds it."""
    inputs = {
        f"inputs{suffix}": {"shape": list(spec.shape), "dtype": str(spec.dtype)}
        for suffix, spec in servable.named_inputs.items()
    }
    return plain(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": servable.kind,
            "learner": servable.learner,
            "ways": servable.ways,
            "max_ways": servable.max_ways,
            "outliers": servable.outliers,
            "output_shape": servable.output_shape,
            "inputs": inputs,
            "target": servable.target,
            "target_shape": servable.target_shape,
            "ignore_class": servable.ignore_class,
            "link": servable.link,
            "normalization": servable.normalization,
            "needs_support": servable.needs_support,
            "inner_steps": servable.inner_steps,
            "inner_rate": servable.inner_rate,
            "dtype": servable.dtype,
            "samples": servable.samples,
            "noise": servable.noise,
            "limits": dataclasses.asdict(limits),
            "adapted_weights": {
                "size": sum(row["size"] for row in layout(servable)),
                "layout": layout(servable),
            },
            "weights_fingerprint": signatures.fingerprint,
            "status_codes": {str(code): text for code, text in STATUS_MEANINGS.items()},
            "preprocessing": servable.preprocessing,
            "versions": library_versions(),
            "extra": servable.metadata,
        }
    )


def write_description(path, description):
    """Writes the metadata beside the SavedModel in `path`."""
    target = pathlib.Path(path) / DESCRIPTION_FILE
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(description, indent=2, allow_nan=False) + "\n", "utf-8")


def read_description(path: str | os.PathLike) -> dict:
    """The metadata of the version in `path`.

    Raises:
        FileNotFoundError: if `path` holds no export of tfmeta.
    """
    target = pathlib.Path(path) / DESCRIPTION_FILE
    if not target.is_file():
        raise FileNotFoundError(
            f"An export of tfmeta has the file {DESCRIPTION_FILE}. Received: {path}, which has "
            "none. Give a directory that learner.export or `python -m tfmeta.export` wrote."
        )
    return json.loads(target.read_text("utf-8"))


def library_versions() -> dict:
    """The versions of Python and of the libraries in this process, which an export records."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plain(value):
    """The value in the types of JSON: NumPy's numbers and arrays as Python's."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return value
