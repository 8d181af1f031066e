"""Tries an installed tfmeta from a folder that is not the sources; the argument is that folder.

Checks that the package is the installed one, that recipes, presets, pages and the demo's model are
in it, and that the command `tfmeta` trains, evaluates and exports.
"""

import importlib.resources
import subprocess
import sys
from pathlib import Path

import tfmeta

FOLDER = Path(sys.argv[1]).resolve()
BINDINGS = (
    *("train.steps = 2", "evaluate.tasks = 4", "evaluate.shots = (5,)", "validate.tasks = 4"),
    *("mlp.hidden = (8,)", "MAML.test_inner_steps = 2"),
)


def run(*arguments: str) -> str:
    done = subprocess.run(["tfmeta", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"tfmeta {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def main() -> None:
    package = Path(tfmeta.__file__).resolve().parent
    assert "site-packages" in package.parts, f"{package} is not an installed package"
    files = importlib.resources.files("tfmeta")
    for name in (
        *("py.typed", "recipes/sinusoid_maml.gin", "recipes/tasks/sinusoid.gin"),
        *("presets/shipped/sinusoid_maml.npz", "runs/comparison/published.csv"),
        *("serve/demo/page/index.html", "serve/demo/model/1/saved_model.pb"),
    ):
        assert files.joinpath(name).is_file(), f"{name} is missing"
    assert "omniglot_demo" in run("presets")
    learner = tfmeta.MAML.from_preset("sinusoid_maml")
    assert learner.inner_rate == 0.01
    params = [f"--gin_param={binding}" for binding in BINDINGS]
    print(run("train", "--gin_file=sinusoid_maml.gin", f"--workdir={FOLDER / 'run'}", *params))
    assert (FOLDER / "run" / "export" / "1" / "saved_model.pb").is_file()
    run("table", f"--workdirs={FOLDER}", f"--output={FOLDER / 'table'}")
    assert (FOLDER / "table.md").is_file()


if __name__ == "__main__":
    main()
