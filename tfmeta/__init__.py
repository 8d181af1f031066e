"""Meta-learning for Keras models, with exact derivatives, served by stock TF Serving."""

import importlib

# Public name -> the module that defines it. Names load when first used, so that a server imports
# neither Keras nor learners, and `import tfmeta` is quick.
_NAMES = {
    "IMAML": "tfmeta.learners",
    "MAML": "tfmeta.learners",
    "MetaLearner": "tfmeta.learners",
    "MetaSGD": "tfmeta.learners",
    "Reptile": "tfmeta.learners",
    "__version__": "tfmeta.version",
    "restore": "tfmeta.experiment",
}
_ROOMS = ("export", "inner", "learners", "networks", "parallel", "tasks")

__all__ = sorted([*_NAMES, *_ROOMS])


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"tfmeta.{name}")
    raise AttributeError(f"module 'tfmeta' has no attribute {name!r}")


def __dir__():
    return __all__
