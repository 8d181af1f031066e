"""Where tasks come from: streams of few-shot tasks, each a pure function of (seed, index)."""

from tfmeta.tasks.glyphs import glyphs
from tfmeta.tasks.omniglot import omniglot
from tfmeta.tasks.sinusoid import sinusoid, sinusoid_parameters
from tfmeta.tasks.stream import TaskStream
from tfmeta.tasks.task import Examples, Task

__all__ = [
    "Examples",
    "Task",
    "TaskStream",
    "glyphs",
    "omniglot",
    "sinusoid",
    "sinusoid_parameters",
]
