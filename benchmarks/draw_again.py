"""Draws the pictures of results/ anew from the files that are stored beside them.

    python -m benchmarks.draw_again [--only=rl_navigation] [--output=DIRECTORY]

Draws evaluation.png from evaluation.json, learning_curve.png from metrics.csv, returns.png from
returns.json and gradient_combinations.png from gradient_combinations.json, each where there is one
already, and NAME_adaptation.png from NAME.npz, a preset of a learner of sinusoids. No other picture
is touched: results/README.md has their commands.
"""

import csv
import json
from pathlib import Path

from absl import app, flags

from benchmarks import pictures
from tfmeta.learners import MetaLearner
from tfmeta.learners.keras_model.preset_learner import learner_of
from tfmeta.presets import read_preset
from tfmeta.runs import pictures as run_pictures
from tfmeta.runs.recipe import config, parse_recipe
from tfmeta.runs.sinusoids import draw_adaptation

_ONLY = flags.DEFINE_string("only", "", "Part of the name of the folders and files to draw.")
_OUTPUT = flags.DEFINE_string("output", None, "Where pictures go; default: beside their files.")

RESULTS = Path(__file__).parents[1] / "results"
# Reports of earlier versions do not say whether their network has batch statistics.
WITHOUT_BATCH_STATISTICS = ("mlp", "gaussian_mlp")


def evaluation(file: Path, path: Path) -> None:
    """A report's metric over inner steps."""
    report = json.loads(file.read_text(encoding="utf-8"))
    protocol = report["protocol"]
    protocol.setdefault("batch_statistics", protocol["network"] not in WITHOUT_BATCH_STATISTICS)
    run_pictures.inner_steps_curve(report, path)


def learning_curve(file: Path, path: Path) -> None:
    """Loss and accuracy over meta-steps."""
    with file.open(encoding="utf-8") as opened:
        run_pictures.learning_curve(list(csv.DictReader(opened)), path, file.parent.name)


def stored(draw):
    """A drawing of a JSON document."""
    return lambda file, path: draw(json.loads(file.read_text(encoding="utf-8")), path)


def adaptation(file: Path, path: Path) -> None:
    """Adaptation to sinusoids of the learner of a preset."""
    preset = read_preset(file)
    training = preset.info["training"]
    learner = learner_of(MetaLearner, preset, {})
    with config.configured(parse_recipe(training["config"], training["recipe"])) as settings:
        draw_adaptation(settings, path, learner)


DRAWN = {
    "evaluation.png": ("evaluation.json", evaluation),
    "learning_curve.png": ("metrics.csv", learning_curve),
    "returns.png": ("returns.json", stored(pictures.returns)),
    "gradient_combinations.png": (
        "gradient_combinations.json",
        stored(pictures.gradient_combinations),
    ),
}


def main(_):
    for picture in sorted(RESULTS.rglob("*.png")):
        preset = picture.with_name(picture.name.replace("_adaptation.png", ".npz"))
        if preset.suffix == ".npz" and preset.is_file():
            file, draw = preset.name, adaptation
        elif picture.name in DRAWN:
            file, draw = DRAWN[picture.name]
        else:
            continue
        place = picture.relative_to(RESULTS)
        if _ONLY.value not in str(place):
            continue
        path = Path(_OUTPUT.value or RESULTS) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(picture.with_name(file), path)
        print(place)


if __name__ == "__main__":
    app.run(main)
