"""Runs as rows: work directories, or what of them is kept, that hold evaluation.json."""

import fnmatch
import json
import os
from collections.abc import Sequence
from pathlib import Path

from tfmeta.runs import recipe
from tfmeta.runs.comparison.row import Row

CONFIG = "config.gin"
EVALUATIONS = "evaluation*.json"
# Folders of a work directory that hold no runs.
_PASSED_OVER = ("checkpoints", "events", "export")
# Networks without batch statistics, for files of results that do not say so.
_WITHOUT_STATISTICS = ("gaussian_mlp", "mlp", "t_net_mlp")
# Names of the tables for learners; one of your own goes by its class.
METHODS = {
    "ALFA": "ALFA",
    "BFA": "BFA",
    "BMAML": "BMAML",
    "BOIL": "BOIL",
    "CAVIA": "CAVIA",
    "FineTuning": "fine-tuning",
    "GradientCombination": "gradient combination",
    "IMAML": "iMAML",
    "LLAMA": "LLAMA",
    "MAML": "MAML",
    "MAMLPlusPlus": "MAML++",
    "MTNet": "MT-net",
    "MatchingNetwork": "matching network",
    "MetaCurvature": "Meta-Curvature",
    "MetaSGD": "Meta-SGD",
    "NearestNeighbor": "nearest neighbour",
    "PLATIPUS": "PLATIPUS",
    "PolicyMAML": "MAML",
    "ProtoMAML": "Proto-MAML",
    "PrototypicalNetwork": "prototypical network",
    "R2D2": "R2-D2",
    "Reptile": "Reptile",
    "UnicornMAML": "UNICORN-MAML",
}


def run_rows(workdirs: Sequence[str | Path]) -> list[Row]:
    """A row for each evaluation of each run and each normalisation in it.

    Args:
        workdirs: folders of runs, or folders that hold runs at any depth. A run that is given
            twice counts once.

    Raises:
        RecipeError: if a folder holds no evaluated run, or an evaluation can't be read.
    """
    seen: set[Path] = set()
    rows = []
    for workdir in map(Path, workdirs):
        runs = [Path(path) for path, _, files in _folders(workdir) if _is_run(files)]
        if not runs:
            raise recipe.RecipeError(
                f"A run to compare has evaluation.json and {CONFIG}, or is a folder of such. "
                f"Received: {workdir}, which has none. `python -m tfmeta.evaluate --workdir=...` "
                "evaluates a run."
            )
        rows += [row for run in runs if run.resolve() not in seen for row in _rows(run)]
        seen |= {run.resolve() for run in runs}
    return rows


def _folders(folder: Path):
    """As `os.walk`, in the order of names and through links, each folder once."""
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(path))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _PASSED_OVER
            and os.path.realpath(os.path.join(path, name)) not in seen
        )
        yield path, folders, files


def _is_run(files: Sequence[str]) -> bool:
    return CONFIG in files and any(fnmatch.fnmatch(name, EVALUATIONS) for name in files)


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
            "seed": protocol.get("train_seed"),
            "remarks": (
                *_other_protocol(path),
                *_other_tasks(protocol),
                *_remarks(protocol, values, asked),
            ),
        }
        normalises = protocol.get(
            "batch_statistics", protocol["network"] not in _WITHOUT_STATISTICS
        )
        rows = [
            Row(**known, normalization=mode if normalises else "none", **_result(metrics))
            for mode, metrics in report["results"].items()
        ]
        return list(dict.fromkeys(rows))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise recipe.RecipeError(
            f"evaluation.json must be one that tfmeta wrote. Received: {path}: {error!r}. "
            "Evaluate the run again."
        ) from error


def _other_protocol(path: Path) -> tuple[str, ...]:
    """What a file's name says of a protocol that is not the recipe's."""
    _, found, changed = path.stem.partition("-")
    return (f"not the recipe's protocol: {changed.replace(',', ', ')}",) if found else ()


def _other_tasks(protocol: dict) -> list[str]:
    """Tasks that the table's title does not say: of a held-out split, or of varying sizes."""
    remarks = []
    if protocol.get("split", "test") != "test":
        remarks.append(f"tasks of the {protocol['split']} split")
    for name in ("ways", "shots"):
        least, most = protocol.get(f"least_{name}"), protocol.get(name)
        if least not in (None, most):
            remarks.append(f"{least} to {most} {name}")
    if protocol.get("drawn") == "meta_dataset":
        remarks.append("sizes drawn as in Meta-Dataset")
    return remarks


def _result(metrics: dict) -> dict:
    """The metric of the tables after the last inner step, and after each."""
    metric = next(iter(metrics))
    scale = 100 if metric == "accuracy" else 1
    pairs = zip(metrics[metric]["mean"], metrics[metric]["interval95"], strict=True)
    curve = tuple(tuple(None if v is None else scale * v for v in pair) for pair in pairs)
    value, interval95 = curve[-1]
    return {"metric": metric, "value": value, "interval95": interval95, "curve": curve}


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
        # A seed has a column of its own.
        remarks += [f"recipe's {line}" for line in changed if not line.startswith("train.seed:")]
    return tuple(remarks)
