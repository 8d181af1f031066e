"""Where tasks come from: streams of few-shot tasks, each a pure function of (seed, index)."""

from tfmeta.tasks.from_arrays import from_arrays
from tfmeta.tasks.from_directory import from_directory
from tfmeta.tasks.from_table import decode_targets, encode_rows, from_table
from tfmeta.tasks.from_tasks import from_tasks
from tfmeta.tasks.glyphs import glyphs
from tfmeta.tasks.image_folder import ImageFolder, load_image_folder
from tfmeta.tasks.made_up import sensor_windows, short_texts
from tfmeta.tasks.mini_imagenet import mini_imagenet
from tfmeta.tasks.omniglot import omniglot
from tfmeta.tasks.sales import sales_table
from tfmeta.tasks.sinusoid import sinusoid, sinusoid_parameters
from tfmeta.tasks.stream import TaskStream
from tfmeta.tasks.task import Examples, Task

__all__ = [
    "Examples",
    "ImageFolder",
    "Task",
    "TaskStream",
    "decode_targets",
    "encode_rows",
    "from_arrays",
    "from_directory",
    "from_table",
    "from_tasks",
    "glyphs",
    "load_image_folder",
    "mini_imagenet",
    "omniglot",
    "sales_table",
    "sensor_windows",
    "short_texts",
    "sinusoid",
    "sinusoid_parameters",
]
