"""The room as a whole."""

import subprocess
import sys

import tfmeta.tasks

PUBLIC = [
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


def test_the_public_names_are_exported_in_alphabetical_order():
    assert tfmeta.tasks.__all__ == PUBLIC
    assert all(hasattr(tfmeta.tasks, name) for name in PUBLIC)


def test_importing_tasks_does_not_import_tensorflow_datasets():
    code = "import sys, tfmeta.tasks; print('tensorflow_datasets' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
