"""Copies what is kept of a work directory to `results/`: figures, pictures, and weights.

    python -m benchmarks.keep_run --workdir=W --output=results/RECIPE

`weights.npz` holds the parameters by their paths relative to the network, in float32.
"""

import pathlib
import shutil

import numpy as np
from absl import app, flags

import tfmeta

_WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of the run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)

# run.json names paths of the machine.
KEPT = ("config.gin", "evaluation*.json", "metrics.csv", "*.png")
# A larger file does not belong into a repository.
MAX_BYTES = 1_200_000


def main(_):
    workdir, output = pathlib.Path(_WORKDIR.value), pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    for pattern in KEPT:
        for file in sorted(workdir.glob(pattern)):
            shutil.copyfile(file, output / file.name)
    learner = tfmeta.restore(workdir)
    arrays = {
        path: np.asarray(variable, "float32")
        for path, variable in zip(learner.parameter_paths, learner.parameter_variables, strict=True)
    }
    weights = output / "weights.npz"
    np.savez_compressed(weights, **arrays)
    if weights.stat().st_size > MAX_BYTES:
        print(f"{weights} has {weights.stat().st_size} bytes, more than {MAX_BYTES}: not kept.")
        weights.unlink()


if __name__ == "__main__":
    app.run(main)
