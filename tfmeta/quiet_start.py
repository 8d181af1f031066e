"""Loading TensorFlow without what its libraries print meanwhile."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tfmeta.xla_cache import use_xla_cache


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps what TensorFlow's libraries print while they load off the terminal.

    On a machine with an NVIDIA device it stays: there it may say why the device is not used.
    """
    if Path("/dev/nvidiactl").exists():
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def import_tensorflow() -> None:
    """Loads TensorFlow and finds its devices, quietly; see `use_xla_cache` for what it raises."""
    use_xla_cache()
    with quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()
