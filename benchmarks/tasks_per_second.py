"""Measures how many tasks a second each source gives, in batches as the recipes ask for them.

    python -m benchmarks.tasks_per_second [--write]

`--write` stores the figures in results/tasks_per_second.json. Sources whose data are not there
(see TFMETA_DATA_DIR in BUILD.md) are left out, with the reason.
"""

import json
import os
import platform
import time
from pathlib import Path

import tensorflow as tf
from absl import app, flags

import tfmeta

_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/tasks_per_second.json.")
_SECONDS = flags.DEFINE_float("seconds", 3.0, "How long each source is drawn from.", 0.1)
RESULT = Path(__file__).parents[1] / "results" / "tasks_per_second.json"

REPTILE = {"rotations": "classes", "invert": False, "validation_classes": 0}
SOURCES = (  # source, options, tasks a batch
    ("sinusoid", {"shots": 10}, 25),
    ("glyphs", {"ways": 5, "shots": 1, "queries": 15}, 8),
    ("omniglot", {"ways": 5, "shots": 1, "queries": 1}, 32),
    ("omniglot", {"ways": 5, "shots": 1, "queries": 15}, 32),
    ("omniglot", {"ways": 20, "shots": 1, "queries": 1}, 16),
    ("omniglot", {"ways": 5, "shots": 10, "queries": 1, **REPTILE}, 5),
    ("mini_imagenet", {"ways": 5, "shots": 1, "queries": 15}, 4),
    ("mini_imagenet", {"ways": 5, "shots": 5, "queries": 15}, 4),
)


def measure(source: str, options: dict, tasks: int, seconds: float) -> dict:
    """Draws batches for some seconds, after the first; one process, nothing else computed."""
    begin = time.perf_counter()
    stream = getattr(tfmeta.tasks, source)("train", seed=0, **options)
    batches = iter(stream.batch(tasks))
    next(batches)
    first, begin, drawn = time.perf_counter() - begin, time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        drawn += tasks
    rate = drawn / (time.perf_counter() - begin)
    return {
        "source": source,
        "options": options,
        "tasks_per_batch": tasks,
        "tasks_per_second": round(rate),
        "seconds_to_first_batch": round(first, 2),
    }


def main(argv):
    del argv
    rows = []
    for source, options, tasks in SOURCES:
        try:
            row = measure(source, options, tasks, _SECONDS.value)
        except FileNotFoundError as error:
            row = {"source": source, "options": options, "left_out": str(error).splitlines()[0]}
        rows.append(row)
        print(json.dumps(row), flush=True)
    if _WRITE.value:
        record = {
            "command": "python -m benchmarks.tasks_per_second --write",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
            "tensorflow": tf.__version__,
            "rows": rows,
        }
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
