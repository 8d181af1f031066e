"""A run's learner, back from its work directory."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta.runs import building, evaluating, exporting, litert, results
from tfmeta.runs.checkpoints import state_of
from tfmeta.runs.files import disk_errors
from tfmeta.runs.recipe import (
    Recipe,
    RecipeError,
    Source,
    config,
    differences,
    explained,
    parse_recipe,
)
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.workdir import WorkDir


class Opened(NamedTuple):
    """A run opened for reading."""

    settings: Settings
    learner: object
    step: int


def restore(workdir: str | os.PathLike, checkpoint: str | None = None) -> Any:
    """Gives the learner of a run, with its trained weights, compiled.

    Args:
        workdir: a work directory of `python -m tfmeta.train`.
        checkpoint: "last" or "best"; None: what the recipe says (`evaluate.checkpoint`).

    Returns:
        The learner (`tfmeta.MAML`, ...).

    Raises:
        ValueError: if there is no run, or no checkpoint.
    """
    with opened(workdir, checkpoint=checkpoint) as run:
        return run.learner


def evaluate(workdir, params: Sequence[str] = ()) -> list[dict]:
    """Evaluates a run, prints tables, and writes a report and a picture for each support size.

    The recipe's protocol is evaluation.json. With `params` that change the protocol the files are
    named by what differs (`evaluation-shots=3,inner_steps=2.json`), and evaluation.json stays.

    Args:
        workdir: of the run.
        params: bindings such as "evaluate.tasks = 2000".

    Returns:
        The reports, in the order of the support sizes.
    """
    with opened(workdir, params) as run:
        place = WorkDir(workdir)

        def recorded():
            return config.configured(_with_params(place.recipe(), run.settings.recipe, ()))

        with disk_errors(place.path):
            paths = evaluating.evaluate(
                run.settings, place, run.learner, run.step, recorded=recorded if params else None
            )
        print(f"\nwritten: {', '.join(map(str, paths))}")
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def export(workdir, export_dir, normalization: str | None = None, params: Sequence[str] = ()):
    """Exports a run as a new version under `export_dir`, loads it back and adapts through it.

    Args:
        workdir: of the run.
        export_dir: directory of the model's versions.
        normalization: another mode than the learner's, or None.
        params: bindings such as "evaluate.checkpoint = 'best'".

    Returns:
        Path of the version's directory.
    """
    with (
        opened(workdir, params) as run,
        disk_errors(export_dir, "--export_dir"),
        explained("export"),
    ):
        found = results.outliers_of(WorkDir(workdir).path, run.step)
        directory = exporting.export(run.settings, run.learner, export_dir, normalization, found)
        print(exporting.check_export(run.settings, run.learner, directory))
        return directory


def export_litert(
    workdir,
    export_dir,
    normalization: str | None = None,
    params: Sequence[str] = (),
    *,
    shots: int | None = None,
    queries: int | None = None,
    inner_steps: int | None = None,
    tolerance: float | None = None,
):
    """Exports a run as `model.tflite`, in a new version under `export_dir`.

    Args:
        workdir: of the run.
        export_dir: directory of the model's versions.
        normalization: another mode than the learner's, or None.
        params: bindings such as "evaluate.checkpoint = 'best'".
        shots: support examples a class; None: the recipe's.
        queries: query examples a class; None: the recipe's.
        inner_steps: None: the learner's, after training.
        tolerance: see `tfmeta.saved_model.export_litert`.

    Returns:
        Path of the version's directory.
    """
    sizes = {"shots": shots, "queries": queries}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    with (
        opened(workdir, params) as run,
        disk_errors(export_dir, "--export_dir"),
        explained("export"),
    ):
        directory = litert.export(
            run.settings,
            run.learner,
            export_dir,
            normalization=normalization,
            inner_steps=inner_steps,
            tolerance=tolerance,
            **sizes,
        )
        print(litert.describe(directory))
        return directory


@contextlib.contextmanager
def opened(workdir, params: Sequence[str] = (), checkpoint: str | None = None) -> Iterator[Opened]:
    """Opens a run for evaluation or export, with its recipe in force.

    Args:
        workdir: of the run.
        params: bindings of evaluate, validate, export or log that replace the recipe's.
        checkpoint: "last" or "best"; None: what the recipe says.

    Raises:
        RecipeError: if there is no run, no checkpoint, or `params` would change the weights.
    """
    place = WorkDir(workdir)
    recorded = place.recipe()
    record = place.record()
    with config.configured(_with_params(recorded, record["recipe"], params)) as settings:
        changed = differences(recorded, parse_recipe(settings.config, settings.recipe))
        if changed:
            raise RecipeError(
                "Only bindings of evaluate, validate, export and log may change after training. "
                "Received:\n  " + "\n  ".join(changed)
            )
        strategy = tf.distribute.get_strategy()
        learner = building.build_learner(settings, strategy, record["choices"]["jit_compile"])
        step = place.chosen_step(checkpoint or settings.evaluate.checkpoint)
        place.checkpoints().restore(step, state_of(learner), counters=False)
        yield Opened(settings, learner, step)


def _with_params(recorded: Recipe, name: str, params: Sequence[str]) -> Recipe:
    more = parse_recipe("\n".join(params), "--gin_param")
    return Recipe(
        name,
        (*recorded.sources, *(Source("--gin_param", text) for text in params)),
        (*recorded.bindings, *more.bindings),
        (*recorded.imports, *more.imports),
        recorded.folders,
    )
