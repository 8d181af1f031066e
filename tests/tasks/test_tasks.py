"""The room as a whole."""

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
