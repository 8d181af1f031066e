"""Converters: how `pfor` computes an operation for all tasks at once, kernels a task included."""

from tfmeta.parallel.converters import (  # noqa: F401  (these register their converters)
    batch_normalization,
    convolutions,
    depthwise,
    pooling,
    volumes,
)
from tfmeta.parallel.converters.registry import install, task_converters

__all__ = ["install", "task_converters"]
