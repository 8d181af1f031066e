"""Runs every recipe two meta-steps, with evaluation and export, a process each.

Not collected by pytest (minutes each on two cores):

    python -m tests.every_recipe [--write] [names]

Omniglot and mini-ImageNet are looked for under $TFMETA_DATA_DIR; half-cheetah and ant need the
extra [rl]. Prints a line a recipe as JSON; `--write` keeps them in results/every_recipe.json,
beside those of recipes that were not named.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tfmeta.runs import recipe

RESULTS = Path(__file__).parents[1] / "results" / "every_recipe.json"
# Two of the steps that a recipe names, two tasks to judge by, and otherwise the recipe as it is.
SHORT = (
    "evaluate.tasks = 2",
    "validate.tasks = 2",
    "evaluate.tasks_per_batch = 2",
    "evaluate.ensemble = 1",  # two steps leave one checkpoint
    "log.tensorboard = False",
)


def _bindings(name: str, folder: Path) -> list[str]:
    steps = "steps = 2" if "reptile" in name else "train.steps = 2"
    own = []
    if name.startswith("images_"):
        _draw_images(folder / "images")
        own = [f"from_directory.path = '{folder / 'images'}'"]
    return [steps, *SHORT, *own]


def _draw_images(folder: Path) -> None:
    """Noise, a folder a class: enough classes for 5 ways in each split."""
    noise = np.random.default_rng(0)
    for label in range(30):
        (folder / f"class_{label}").mkdir(parents=True)
        for number in range(20):
            pixels = noise.integers(256, size=(28, 28), dtype="uint8")
            Image.fromarray(pixels).save(folder / f"class_{label}" / f"{number}.png")


def run(name: str) -> dict:
    """Trains a recipe two steps; returns how that went."""
    with tempfile.TemporaryDirectory() as folder:
        params = [f"--gin_param={line}" for line in _bindings(name, Path(folder))]
        command = [sys.executable, "-m", "tfmeta.train", f"--gin_file={name}", *params]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, f"--workdir={folder}/run"], capture_output=True, text=True, check=False
        )
        exported = (Path(folder) / "run" / "export" / "1" / "saved_model.pb").is_file()
    asked = recipe.bound_values(recipe.read_recipe([name])).get("export.enabled", True)
    result = {
        "recipe": name,
        "ok": done.returncode == 0 and exported == asked,
        "seconds": round(time.perf_counter() - began, 1),
    }
    return result if result["ok"] else {**result, "said": done.stderr[-2000:]}


def write(result: dict) -> None:
    """Keeps a recipe's result beside the others'."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["recipes"] if RESULTS.exists() else []
    rows = [row for row in rows if row["recipe"] != result["recipe"]] + [result]
    found = {
        "command": "python -m tests.every_recipe --write",
        "recipes": sorted(rows, key=lambda row: row["recipe"]),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Runs the recipes that were named, or all; returns the exit code."""
    names = [argument for argument in arguments if argument != "--write"]
    results = []
    for name in names or recipe.recipe_names():
        results.append(run(name))
        print(json.dumps(results[-1]), flush=True)
        if "--write" in arguments:
            write(results[-1])
    return int(not all(result["ok"] for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
