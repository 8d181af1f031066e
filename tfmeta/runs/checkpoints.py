"""Checkpoints of a run: whole or absent, the last few and the best."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from tfmeta.evaluation import HIGHER_IS_BETTER
from tfmeta.runs.files import new_directory, write_json
from tfmeta.runs.recipe import RunError

_NAME = re.compile(r"step_(\d{9})")
_STATE = "state"
BEST = "best.json"


class Checkpoints:
    """The folder `checkpoints/` of a work directory.

    Each checkpoint is a folder `step_000001000`, renamed to that when all of it is on disk, and
    never changed afterwards; `best.json` names the best by validation, and the next best.

    Args:
        folder: `WORKDIR/checkpoints`.
        keep: number of last checkpoints that stay; the best stays too.
        keep_best: number of best checkpoints that stay.
    """

    def __init__(self, folder: Path, keep: int = 3, keep_best: int = 1):
        self.folder = folder
        self.keep = keep
        self.keep_best = keep_best

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, ascending."""
        if not self.folder.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        return self.folder / f"step_{step:09d}"

    def best(self) -> dict | None:
        """`{"step", "metric", "value"}` of the best checkpoint by validation, if there is one."""
        try:
            best = json.loads((self.folder / BEST).read_text(encoding="utf-8"))
            return best if self.path(best["step"]).exists() else None
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError) as error:
            raise RunError(
                f"{BEST} must say which checkpoint is the best. Received: {self.folder / BEST}: "
                f"{error!r}. Remove it: the next validation writes it anew."
            ) from error

    def save(self, step: int, state: tf.train.Checkpoint) -> Path:
        """Writes a checkpoint; a crash or a full disk leaves the earlier ones as they were.

        Raises:
            OSError: if it can't be written.
        """
        path = self.path(step)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with new_directory(path) as temporary:
                _write(state, temporary / _STATE)
        self._remove_old()
        return path

    def ranking(self) -> list[dict]:
        """`{"step", "value"}` of the best checkpoints by validation, the best first."""
        best = self.best()
        if best is None:
            return []
        listed = [{name: best[name] for name in ("step", "value")}, *best.get("next", [])]
        return [each for each in listed if self.path(each["step"]).exists()]

    def is_among_best(self, step: int, metric: str, value: float) -> bool:
        """Whether a checkpoint of this value is one of the best `keep_best` so far."""
        return any(each["step"] == step for each in self._ranked(step, metric, value))

    def mark_best(self, step: int, metric: str, value: float) -> None:
        """Says that a checkpoint is among the best so far, and lets go of what it surpasses."""
        first, *others = self._ranked(step, metric, value)
        best = {"step": first["step"], "metric": metric, "value": first["value"]}
        write_json(self.folder / BEST, {**best, "next": others} if others else best)
        self._remove_old()

    def _ranked(self, step, metric, value):
        """The best of those ranked so far and this one, the best first; of equals the earlier."""
        sign = -1 if metric in HIGHER_IS_BETTER else 1
        listed = [each for each in self.ranking() if each["step"] != step]
        listed.append({"step": step, "value": value})
        return sorted(listed, key=lambda each: sign * each["value"])[: self.keep_best]

    def restore(self, step: int, state: tf.train.Checkpoint, counters: bool = True) -> None:
        """Reads a checkpoint into every variable of `state`.

        Args:
            step: of the checkpoint.
            state: of `state_of`.
            counters: whether `state` has the run's counters too, which a learner alone has not.

        Raises:
            RunError: if the checkpoint lacks a variable, has one more, or is damaged.
        """
        try:
            status = state.read(str(self.path(step) / _STATE))
            if counters:
                status.assert_consumed()
            else:
                status.assert_existing_objects_matched().expect_partial()
        except (tf.errors.OpError, AssertionError, ValueError, LookupError) as error:
            raise RunError(
                f"A checkpoint must hold every variable of the run, and nothing else. Received: "
                f"{self.path(step)}: {error}. If the file is damaged, remove that folder: the "
                "run goes on from the checkpoint before it."
            ) from error

    def _remove_old(self) -> None:
        kept = {*self.steps()[-self.keep :], *(each["step"] for each in self.ranking())}
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self.path(step), ignore_errors=True)


def _write(state: tf.train.Checkpoint, prefix: Path) -> None:
    try:
        state.write(str(prefix))
    except tf.errors.OpError as error:
        reasons = {
            "No space left": errno.ENOSPC,
            "File too large": errno.EFBIG,
            "quota": errno.EDQUOT,
            "Read-only": errno.EROFS,
            "ermission denied": errno.EACCES,
        }
        code = next((code for text, code in reasons.items() if text in str(error)), errno.EIO)
        said = os.strerror(code) if code != errno.EIO else error.message.split("\n")[0]
        raise OSError(code, said, str(prefix.parent)) from error


def state_of(learner, **counters: tf.Variable) -> tf.train.Checkpoint:
    """Everything that the next meta-step depends on, as one object to save and restore.

    Args:
        learner: a compiled learner, whose optimizer is built.
        **counters: the step and whatever else the run counts.
    """
    groups = {
        "parameters": learner.parameter_variables,
        "state": learner.state_variables,
        "optimizer": learner.optimizer.variables,
    }
    seen = {id(variable) for group in groups.values() for variable in group}
    groups["other"] = [v for v in learner.network.variables if id(v) not in seen]
    return tf.train.Checkpoint(
        **{name: [v.value for v in group] for name, group in groups.items()}, **counters
    )
