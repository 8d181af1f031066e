"""Exact second derivatives: what of TensorFlow's is replaced while tfmeta traces, and by what."""

from tfmeta.derivatives.exact import exact_derivatives, portable_operations
from tfmeta.derivatives.recorded import recorded

__all__ = ["exact_derivatives", "portable_operations", "recorded"]
