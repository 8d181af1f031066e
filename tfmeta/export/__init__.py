"""Export: pure functions, shapes and metadata become a SavedModel that adapts by itself."""

from tfmeta.export.description import describe, read_description
from tfmeta.export.export_servable import export_servable
from tfmeta.export.exported_model import ExportedModel
from tfmeta.export.limits import Limits
from tfmeta.export.servable import InputSpec, Servable
from tfmeta.export.signatures import Signatures
from tfmeta.export.task_axis import STATUS_MEANINGS
from tfmeta.export.version_directory import versions

__all__ = [
    "STATUS_MEANINGS",
    "ExportedModel",
    "InputSpec",
    "Limits",
    "Servable",
    "Signatures",
    "describe",
    "export_servable",
    "read_description",
    "versions",
]
