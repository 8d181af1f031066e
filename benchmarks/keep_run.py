"""Copies what is kept of a work directory to `results/`: figures, pictures, and a preset.

    python -m benchmarks.keep_run --workdir=W --output=results/RECIPE

`preset.npz` holds what was learned: `tfmeta.MetaLearner.from_preset("results/RECIPE")`. It is left
out with `--nopreset`, where tfmeta ships that preset.
"""

import pathlib
import shutil

from absl import app, flags

from tfmeta.presets.sources import IN_FOLDER
from tfmeta.runs.presets import make_preset

_WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of the run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_PRESET = flags.DEFINE_bool("preset", True, "Whether to keep what was learned too.")
_LICENSE = flags.DEFINE_string("license", "MIT, as tfmeta itself", "Licence of the weights.")

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
    if not _PRESET.value:
        return
    preset = output / IN_FOLDER
    make_preset(workdir, preset, license=_LICENSE.value)
    if preset.stat().st_size > MAX_BYTES:
        print(f"{preset} has {preset.stat().st_size} bytes, more than {MAX_BYTES}: not kept.")
        preset.unlink()


if __name__ == "__main__":
    app.run(main)
