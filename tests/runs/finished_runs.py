"""Runs whose end is not looked at, and what tests compare of two runs that must be the same."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta.runs import finish
from tfmeta.runs.checkpoints import Checkpoints
from tfmeta.runs.metrics_log import read_rows


def end_with_the_last_step(patch) -> None:
    """Has runs evaluate, draw and export nothing, by a `pytest.MonkeyPatch`."""
    patch.setattr(finish, "finish", lambda settings, place, training, stop: None)


def tensors(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """A checkpoint, without what differs from run to run."""
    path = Checkpoints(workdir / "checkpoints").path(step) / "state"
    reader = tf.train.load_checkpoint(str(path))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if "seconds" not in n and "GRAPH" not in n}


def losses(workdir: Path) -> list[tuple[str | None, ...]]:
    """Step, loss and validation loss of each row of metrics.csv."""
    rows = read_rows(workdir / "metrics.csv")
    return [(row["step"], row["loss"], row.get("val_loss") or None) for row in rows]
