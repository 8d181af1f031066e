"""Runs every recipe two meta-steps, with evaluation and export, a process each.

Not collected by pytest (minutes each on two cores): `python tests/every_recipe.py [names]`.
Omniglot and mini-ImageNet are looked for under $TFMETA_DATA_DIR. Prints a line a recipe as JSON.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tfmeta import recipe

# Two of the steps that a recipe names, two tasks to judge by, and otherwise the recipe as it is.
SHORT = ("evaluate.tasks = 2", "evaluate.tasks_per_batch = 2", "log.tensorboard = False")


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
    result = {
        "recipe": name,
        "ok": done.returncode == 0 and exported,
        "seconds": round(time.perf_counter() - began, 1),
    }
    return result if result["ok"] else {**result, "said": done.stderr[-2000:]}


if __name__ == "__main__":
    results = []
    for recipe_name in sys.argv[1:] or recipe.recipe_names():
        results.append(run(recipe_name))
        print(json.dumps(results[-1]), flush=True)
    sys.exit(not all(result["ok"] for result in results))
