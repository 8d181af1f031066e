"""A run: a recipe in, a work directory out; killed and started again, the same weights.

The names load when first used: `record` must be at hand before TensorFlow starts.
"""

import importlib

_NAMES = {
    "evaluate": "tfmeta.runs.opening",
    "export": "tfmeta.runs.opening",
    "export_litert": "tfmeta.runs.opening",
    "opened": "tfmeta.runs.opening",
    "restore": "tfmeta.runs.opening",
    "train": "tfmeta.runs.run",
}

__all__ = ["evaluate", "export", "export_litert", "opened", "restore", "train"]


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
