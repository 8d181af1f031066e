"""Pure functions, shapes and metadata become a SavedModel that adapts by itself."""

from tfmeta.process.lazy_names import lazy_names

# Lazy, so that a description is read without TensorFlow.
_MODULES = {
    "STATUS_MEANINGS": "tfmeta.saved_model.task_axis",
    "ExportedModel": "tfmeta.saved_model.exported_model",
    "InputSpec": "tfmeta.saved_model.servable",
    "Limits": "tfmeta.saved_model.limits",
    "Servable": "tfmeta.saved_model.servable",
    "ServablePolicy": "tfmeta.saved_model.policies",
    "Signatures": "tfmeta.saved_model.signatures",
    "describe": "tfmeta.saved_model.description",
    "export_litert": "tfmeta.saved_model.litert.writing",
    "export_policy": "tfmeta.saved_model.policies",
    "export_servable": "tfmeta.saved_model.writing",
    "read_description": "tfmeta.saved_model.description",
    "versions": "tfmeta.saved_model.version_directory",
}

__all__ = list(_MODULES)
__getattr__ = lazy_names(__name__, _MODULES)


def __dir__():
    return __all__
