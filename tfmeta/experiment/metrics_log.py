"""What a run measured on its way: metrics.csv, and the same as TensorBoard events."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from tfmeta.experiment.files import write_text
from tfmeta.recipe import RecipeError

NAME = "metrics.csv"


class MetricsLog:
    """Rows `step,loss,<metrics>,tasks_per_second,seconds`.

    Opened at the step of a checkpoint, it first cuts the rows after that step: they come again.

    Args:
        workdir: the run's work directory.
        columns: names of the measured values, the loss first.
        step: the step from which the run goes on.
        tensorboard: whether events are written too.
    """

    def __init__(self, workdir: Path, columns: list[str], step: int, tensorboard: bool = True):
        self.columns = ["step", *columns, "tasks_per_second", "seconds"]
        path = workdir / NAME
        rows = [row for row in read_rows(path) if int(row["step"]) <= step]
        lines = [",".join(self.columns)]
        lines += [",".join(row[column] for column in self.columns) for row in rows]
        write_text(path, "\n".join(lines) + "\n")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)
        self._events = (
            tf.summary.create_file_writer(str(workdir / "events")) if tensorboard else None
        )

    def write(
        self, step: int, values: Mapping[str, float], tasks_per_second: float, seconds: float
    ):
        """Adds a row; numbers are written with all their digits."""
        measured = {"step": step, **values, "tasks_per_second": round(tasks_per_second, 2)}
        measured["seconds"] = round(seconds, 3)
        self._file.write(",".join(str(measured[name]) for name in self.columns) + "\n")
        self._file.flush()
        self.event(step, {**values, "tasks_per_second": tasks_per_second})

    def event(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values to TensorBoard only."""
        if self._events:
            with self._events.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)

    def sync(self) -> None:
        """Makes the rows survive a power failure; called before a checkpoint counts them."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._events:
            self._events.flush()

    def close(self) -> None:
        self._file.close()
        if self._events:
            self._events.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics.csv; a row that a crash cut short is left out.

    Raises:
        RecipeError: if the file is not one that a run wrote.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        rows = [row for row in csv.DictReader(whole.splitlines()) if None not in row.values()]
        for row in rows:
            int(row["step"])
        return rows
    except (ValueError, KeyError, csv.Error) as error:
        raise RecipeError(
            f"{NAME} must be the rows that a run wrote. Received: {path}: {error!r}. Move it away; "
            "the run goes on from its checkpoint and begins another."
        ) from error
