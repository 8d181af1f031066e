"""Export: pure functions, shapes and metadata become a SavedModel that adapts by itself."""

from tfmeta.process.lazy_names import lazy_names

# Lazy, since `python -m tfmeta.export` runs this file before it can read its flags.
_MODULES = {
    "STATUS_MEANINGS": "tfmeta.export.task_axis",
    "ExportedModel": "tfmeta.export.exported_model",
    "InputSpec": "tfmeta.export.servable",
    "Limits": "tfmeta.export.limits",
    "Servable": "tfmeta.export.servable",
    "ServablePolicy": "tfmeta.export.policies",
    "Signatures": "tfmeta.export.signatures",
    "describe": "tfmeta.export.description",
    "export_litert": "tfmeta.export.litert.writing",
    "export_policy": "tfmeta.export.policies",
    "export_servable": "tfmeta.export.writing",
    "read_description": "tfmeta.export.description",
    "versions": "tfmeta.export.version_directory",
}

__all__ = list(_MODULES)
__getattr__ = lazy_names(__name__, _MODULES)


def __dir__():
    return __all__
