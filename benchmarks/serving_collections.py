"""`python -m tfmeta.serve` that also notes how long its garbage collections take.

    COLLECTIONS=FILE python benchmarks/serving_collections.py [flags of tfmeta.serve]

FILE gets a line a collection: when it ended, by `time.monotonic()`, its milliseconds, and its
milliseconds of processor time.
"""

import gc
import os
import sys
import time

from absl import app

from tfmeta.serve import __main__ as command
from tfmeta.serve import command_flags


def note_collections(path):
    """Notes every garbage collection of this process from now on."""
    output = open(path, "w", buffering=1, encoding="utf-8")  # noqa: SIM115, open until the end
    begun = []

    def note(phase, _):
        if phase == "start":
            begun.append((time.monotonic(), time.thread_time()))
            return
        began, processor = begun.pop()
        end, used = time.monotonic(), time.thread_time() - processor
        output.write(f"{end:.6f} {(end - began) * 1e3:.3f} {used * 1e3:.3f}\n")

    gc.callbacks.append(note)


if __name__ == "__main__":
    note_collections(os.environ["COLLECTIONS"])
    command_flags.define_flags()
    sys.modules["__main__"].__doc__ = command._DOC
    app.run(command.main)
