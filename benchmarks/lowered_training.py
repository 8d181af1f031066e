"""Trains a recipe on a machine that has JAX and a GPU but no TensorFlow.

    python -m benchmarks.lowered_training --gin_file=RECIPE --folder=lowered/RECIPE
    python -m benchmarks.train_lowered --folder=lowered/RECIPE --steps=60000       # over there
    python -m benchmarks.lowered_training --gin_file=RECIPE --folder=lowered/RECIPE --workdir=W
    python -m tfmeta.train --gin_file=RECIPE --workdir=W                           # evaluates

The first command writes the whole training step, lowered to StableHLO, and its arguments. The
second feeds its outputs back. The third makes a work directory of what came back, as if the recipe
had been trained here: the recipe's own command then evaluates, draws and exports it, or goes on.
"""

import argparse
import gzip
import pathlib

import tensorflow as tf

from benchmarks import lowered_files, lowered_step, report
from tfmeta.runs import building, record
from tfmeta.runs.files import write_json
from tfmeta.runs.recipe import config, read_recipe
from tfmeta.runs.workdir import WorkDir

ABOUT = "trained by benchmarks.train_lowered: the step lowered to StableHLO, compiled by JAX"


def main():
    asked = _arguments()
    folder = pathlib.Path(asked.folder)
    with config.configured(read_recipe(asked.gin_file, asked.gin_param)) as settings:
        if asked.workdir:
            adopt(settings, folder, WorkDir(asked.workdir))
        else:
            write(settings, folder)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--gin_file", action="append", required=True, help="Recipe.")
    add("--gin_param", action="append", default=[], help="Binding on top of it.")
    add("--folder", required=True, help="For JAX's machine.")
    add("--workdir", help="Work directory to make of what came back.")
    return parser.parse_args()


def write(settings, folder):
    """Writes the step of a recipe, with its variables as they are before the first step."""
    training = built(settings)
    lowered = lowered_step.lower(training, building.train_stream(settings))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step.mlir.gz").write_bytes(gzip.compress(lowered.text.encode()))
    lowered_files.write_list(folder / "fixed.npz", lowered.fixed)
    lowered_files.write_list(folder / lowered_files.CARRY, lowered.carry)
    print(f"{folder}: {len(lowered.text) / 1e6:.1f} MB of StableHLO", flush=True)


def adopt(settings, folder, place):
    """Makes a work directory that stands at the step that the folder's arrays stand at.

    Raises:
        RecipeError: if the directory belongs to another recipe.
    """
    training = built(settings)
    values = lowered_files.read_list(folder / lowered_files.CARRY)
    for variable, value in zip(lowered_step.variables_of(training), values, strict=True):
        variable.assign(value)
    losses = (folder / lowered_files.LOSSES).read_text(encoding="utf-8").splitlines()
    training.seconds_variable.assign(float(losses[-1].split(",")[-1]))
    place.path.mkdir(parents=True, exist_ok=True)
    place.claim(settings)
    execution = {"jit_compile": True, "parallel": "vectorized", "reason": ABOUT}
    written = {
        "schema_version": 1,
        "recipe": settings.recipe,
        "seed": settings.train.seed,
        **record.environment(tf),
        "deterministic": False,
        "replicas": 1,
        "workers": [],
        "git_commit": record.git_commit(),
        "code": report.code_version(),
        "sessions": [record.session(0)],
        "choices": {**execution, "tasks_per_pass": training.learner.tasks_per_pass},
        "data": building.train_stream(settings).info,
        "warnings": [ABOUT],
    }
    write_json(place.path / record.NAME, written)
    place.checkpoints().save(training.step, training.state)
    print(f"{place.path}: at step {training.step} of {settings.train.steps}", flush=True)


def built(settings):
    """The recipe's training, its tasks vectorised, as a GPU computes them."""
    strategy = building.make_strategy("one_device")
    return building.build_training(settings, strategy, False, "vectorized")


if __name__ == "__main__":
    main()
