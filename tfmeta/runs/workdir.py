"""A work directory: which recipe it belongs to, and what lies in it."""

import dataclasses
from pathlib import Path

from tfmeta.runs import record
from tfmeta.runs.checkpoints import Checkpoints
from tfmeta.runs.files import write_text
from tfmeta.runs.recipe import Recipe, RecipeError, differences, parse_recipe
from tfmeta.runs.recipe.settings import CHECKPOINTS, Settings

CONFIG = record.CONFIG
EVALUATION = "evaluation.json"


class WorkDir:
    """Paths of a run, and the check that a recipe may go on in them."""

    def __init__(self, path):
        self.path = Path(path)

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    def checkpoints(self, keep: int = 3, keep_best: int = 1) -> Checkpoints:
        return Checkpoints(self.path / "checkpoints", keep, keep_best)

    def recipe(self) -> Recipe:
        """The recipe of the run that is here.

        Raises:
            RecipeError: if there is none.
        """
        recipe = parse_recipe(record.read_recipe(self.path), self.path.name)
        if not recipe.imports:
            return recipe
        found = record.read(self.path) or {}
        return dataclasses.replace(recipe, folders=tuple(found.get("recipe_folders", ())))

    def claim(self, settings: Settings) -> None:
        """Makes this the directory of a recipe, or checks that it is; see `check`."""
        self.check(settings)
        write_text(self.config, settings.config)

    def check(self, settings: Settings) -> None:
        """Checks that a recipe may go on here, or begin.

        A run that ended before its first step, such as one whose recipe could not be built, leaves
        a recipe that another one may replace.

        Raises:
            RecipeError: with the differences, if it belongs to another recipe.
        """
        begun = (self.path / record.NAME).exists() or self.checkpoints().steps()
        if self.config.exists() and begun:
            changed = differences(self.recipe(), parse_recipe(settings.config, settings.recipe))
            if changed:
                raise RecipeError(
                    f"A work directory keeps its recipe. Received: {self.path}, whose run has "
                    "another one:\n  " + "\n  ".join(changed) + "\nChoose another --workdir, or "
                    "give the recipe it was begun with. (Bindings of evaluate, validate, export "
                    "and log may change.)"
                )
        elif not self.config.exists() and self.checkpoints().steps():
            raise RecipeError(
                f"A work directory with checkpoints has a {CONFIG}. Received: {self.path}, which "
                "has checkpoints only. Choose another --workdir."
            )

    def resume_step(self) -> int:
        """The step of the last checkpoint; 0 where there is none."""
        return max(self.checkpoints().steps(), default=0)

    def chosen_step(self, checkpoint: str) -> int:
        """The step of the "last" or the "best" checkpoint.

        Raises:
            RecipeError: if there is none.
        """
        if checkpoint not in CHECKPOINTS:
            raise RecipeError(
                f"A checkpoint is one of {', '.join(map(repr, CHECKPOINTS))}. "
                f"Received: {checkpoint!r}."
            )
        checkpoints = self.checkpoints()
        if not checkpoints.steps():
            raise RecipeError(
                f"A run must have a checkpoint before it can be restored. Received: {self.path}, "
                "which has none. Give the training more time."
            )
        if checkpoint == "last":
            return self.resume_step()
        best = checkpoints.best()
        if best is None:
            raise RecipeError(
                "evaluate.checkpoint = 'best' needs validation during training. Received: "
                f"{self.path}, where nothing was validated. Take the last one: "
                "--gin_param=\"evaluate.checkpoint = 'last'\", or in Python restore(..., 'last')."
            )
        return best["step"]

    def record(self) -> dict:
        """run.json.

        Raises:
            RecipeError: if there is none.
        """
        found = record.read(self.path)
        if found is None:
            raise RecipeError(f"A run has a run.json. Received: {self.path}, which has none.")
        if not {"recipe", "choices"} <= set(found):
            raise RecipeError(
                f"run.json must be the record of a run. Received: {self.path / record.NAME}, which "
                "lacks recipe or choices. Give the command of training again: it writes it."
            )
        return found
