"""What a run measured on its way: metrics.csv, and the same as TensorBoard events."""

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from tfmeta.runs.files import write_text
from tfmeta.runs.recipe import RecipeError

NAME = "metrics.csv"
VALIDATION = "val_"  # begins the names of columns of validation values


class MetricsLog:
    """Rows `step,loss,<metrics>,tasks_per_second,seconds,val_<metric>,...`.

    Opened at the step of a checkpoint, it first cuts the rows after that step: they come again.
    The columns `val_*` hold means over validation tasks after the last inner step. They are there
    from the first validation on, and empty in rows of steps that were not validated.

    Args:
        workdir: the run's work directory.
        columns: names of the measured values, the loss first.
        step: the step from which the run goes on.
        tensorboard: whether events are written too.
    """

    def __init__(self, workdir: Path, columns: list[str], step: int, tensorboard: bool = True):
        self._path = workdir / NAME
        rows = [row for row in read_rows(self._path) if int(row["step"]) <= step]
        self.columns = ["step", *columns, "tasks_per_second", "seconds"]
        self.columns += [name for name in (rows[0] if rows else ()) if name.startswith(VALIDATION)]
        self._file = None
        self._rewrite(rows)
        events = workdir / "events"
        self._is_first = not events.is_dir() or not any(events.iterdir())
        self._events = tf.summary.create_file_writer(str(events)) if tensorboard else None

    def write(
        self,
        step: int,
        values: Mapping[str, float],
        tasks_per_second: float,
        seconds: float,
        validation: Mapping[str, float | None] | None = None,
    ) -> None:
        """Adds a row; numbers are written with all their digits.

        Args:
            step: the meta-step that is done.
            values: means since the last row, by name.
            tasks_per_second: since the last row.
            seconds: of training, over all sessions.
            validation: means over validation tasks by metric, None where not finite; or None
                where nothing was validated at this step.
        """
        measured = {"step": step, **values, "tasks_per_second": round(tasks_per_second, 2)}
        measured["seconds"] = round(seconds, 3)
        measured |= self._validated(validation)
        self._file.write(self._line(measured))
        self._file.flush()
        self.event(step, {**values, "tasks_per_second": tasks_per_second})

    def amend(self, step: int, validation: Mapping[str, float | None]) -> None:
        """Writes validation values into the row of a step, where there is one."""
        added = self._validated(validation)
        rows = read_rows(self._path)
        for row in rows:
            if int(row["step"]) == step:
                row |= {name: _text(value) for name, value in added.items()}
        self._rewrite(rows)

    def _validated(self, validation) -> dict[str, float | None]:
        """The values under their columns, which are added to the file where they are new."""
        named = {f"{VALIDATION}{name}": value for name, value in (validation or {}).items()}
        new = [name for name in named if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(read_rows(self._path))
        return named

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        if self._file:
            self._file.close()
        lines = [",".join(self.columns) + "\n", *map(self._line, rows)]
        write_text(self._path, "".join(lines))
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def _line(self, row: Mapping[str, object]) -> str:
        return ",".join(_text(row.get(name)) for name in self.columns) + "\n"

    def event(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values to TensorBoard only."""
        if self._events:
            with self._events.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)

    def hyperparameters(self, values: Mapping[str, object], recipe: str) -> None:
        """Writes what a run was begun with to TensorBoard's HParams, once a run.

        Args:
            values: by the keys of bindings.
            recipe: its text, by which equal runs are told.
        """
        if not self._events or not self._is_first:
            return
        from tensorboard.plugins.hparams import api

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else repr(value)
            for key, value in values.items()
        }
        trial = hashlib.sha256(recipe.encode()).hexdigest()
        with self._events.as_default():
            api.hparams(plain, trial_id=trial)
        self._events.flush()

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


def _text(value) -> str:
    return "" if value is None else str(value)


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
