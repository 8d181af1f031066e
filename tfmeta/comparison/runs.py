"""Runs as rows: work directories, or what of them is kept, that hold evaluation.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from tfmeta import recipe
from tfmeta.comparison.row import Row

CONFIG = "config.gin"
EVALUATIONS = "evaluation*.json"
# Names of the tables for learners; one of your own goes by its class.
METHODS = {
    "BFA": "BFA",
    "BMAML": "BMAML",
    "FineTuning": "fine-tuning",
    "GradientCombination": "gradient combination",
    "IMAML": "iMAML",
    "LLAMA": "LLAMA",
    "MAML": "MAML",
    "MAMLPlusPlus": "MAML++",
    "MTNet": "MT-net",
    "MatchingNetwork": "matching network",
    "MetaSGD": "Meta-SGD",
    "NearestNeighbor": "nearest neighbour",
    "PLATIPUS": "PLATIPUS",
    "PolicyMAML": "MAML",
    "PrototypicalNetwork": "prototypical network",
    "Reptile": "Reptile",
}


def run_rows(workdirs: Sequence[str | Path]) -> list[Row]:
    """A row for each evaluation of each run and each normalisation in it.

    Args:
        workdirs: folders of runs, or folders that hold such folders.

    Raises:
        RecipeError: if a folder holds no evaluated run, or an evaluation can't be read.
    """
    return [row for workdir in workdirs for run in _runs_in(Path(workdir)) for row in _rows(run)]


def _runs_in(folder: Path) -> list[Path]:
    """The folder itself if it is an evaluated run, else those in it that are."""
    runs = [path for path in (folder, *sorted(folder.glob("*"))) if _is_run(path)]
    if not runs:
        raise recipe.RecipeError(
            f"A run to compare has evaluation.json and {CONFIG}, or is a folder of such. "
            f"Received: {folder}, which has none. `python -m tfmeta.evaluate --workdir=...` "
            "evaluates a run."
        )
    return runs[:1] if runs[0] == folder else runs


def _is_run(path: Path) -> bool:
    return (path / "evaluation.json").is_file() and (path / CONFIG).is_file()


def _rows(run: Path) -> list[Row]:
    asked = recipe.parse_recipe((run / CONFIG).read_text(encoding="utf-8"), run.name)
    return [
        row for path in sorted(run.glob(EVALUATIONS)) for row in _evaluation_rows(run, path, asked)
    ]


def _evaluation_rows(run: Path, path: Path, asked: recipe.Recipe) -> list[Row]:
    values = recipe.bound_values(asked)
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        protocol = report["protocol"]
        known = {
            "data": protocol["name"],
            "ways": protocol.get("ways"),
            "shots": protocol["shots"],
            "method": _method(protocol, values),
            "test_tasks": protocol["tasks"],
            "queries": protocol.get("queries"),
            "inner_steps": protocol["inner_steps"],
            "filters": values.get("conv4.filters") if protocol["network"] == "conv4" else None,
            "steps": protocol["step"],
            "source": run.as_posix(),
            "published": False,
            "remarks": _remarks(protocol, values, asked),
        }
        return [
            Row(**known, normalization=mode, **_result(metrics))
            for mode, metrics in report["results"].items()
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise recipe.RecipeError(
            f"evaluation.json must be one that tfmeta wrote. Received: {path}: {error!r}. "
            "Evaluate the run again."
        ) from error


def _result(metrics: dict) -> dict:
    """The metric of the tables after the last inner step."""
    metric = next(iter(metrics))
    scale = 100 if metric == "accuracy" else 1
    found = {"value": metrics[metric]["mean"][-1], "interval95": metrics[metric]["interval95"][-1]}
    scaled = {name: None if value is None else scale * value for name, value in found.items()}
    return {"metric": metric, **scaled}


def _method(protocol: dict, values: dict) -> str:
    """The name under which papers' tables have the run's algorithm."""
    learner = protocol["learner"]
    method = METHODS.get(learner, learner)
    if values.get(f"{learner}.first_order"):
        method = f"first-order {method}"
    if values.get(f"{learner}.adapted") == "head/*":
        method = "ANIL" if method == "MAML" else f"{method}, head only"
    if protocol["network"].startswith("t_net_") and method == "MAML":
        method = "T-net"
    if protocol["network"] == "nonconv":
        method += ", no conv"
    return method


def _remarks(protocol: dict, values: dict, asked: recipe.Recipe) -> tuple[str, ...]:
    """How the run differs from its recipe: cut short, or with other bindings."""
    remarks = []
    steps = values.get("train.steps")
    if isinstance(steps, int) and protocol["step"] < steps:
        best = " (the best by validation)" if protocol.get("checkpoint") == "best" else ""
        remarks.append(f"step {protocol['step']:,} of the run's {steps:,}{best}")
    if protocol.get("classes_missing"):
        remarks.append(f"{len(protocol['classes_missing'])} classes missing")
    name = f"{protocol.get('recipe')}.gin"
    if name in recipe.recipe_names():
        changed = recipe.differences(recipe.read_recipe([name]), asked)
        remarks += [f"recipe's {line}" for line in changed]
    return tuple(remarks)
