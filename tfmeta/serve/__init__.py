"""An embedded server of exported models, for development, tests and demos.

It speaks TF Serving's gRPC and REST protocols, in its words; what a client can tell apart (limits
that answer 429, Classify that answers 501) is listed in `export/SERVER.md`. In production use TF
Serving. This package knows an exported directory, and nothing of what wrote it.
"""

import importlib

_NAMES = {
    "ModelConfig": "tfmeta.serve.configuration",
    "ModelServer": "tfmeta.serve.models.model_server",
    "ServerOptions": "tfmeta.serve.configuration",
    "Server": "tfmeta.serve.server",
    "ServingError": "tfmeta.serve.errors",
    "create_app": "tfmeta.serve.rest.app",
    "start": "tfmeta.serve.server",
}
__all__ = sorted(_NAMES)


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'tfmeta.serve' has no attribute {name!r}")


def __dir__():
    return __all__
