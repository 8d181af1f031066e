"""Files of results: `evaluation.json` is the recipe's, every other protocol has its own name."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfmeta.runs.files import write_json
from tfmeta.runs.workdir import EVALUATION

_STEM = EVALUATION.removesuffix(".json")
# Facts of the run: they are the same for all its results.
_NOT_PROTOCOL = ("batch_statistics", "learner", "network", "parameters", "recipe")
# What follows from another difference, and is named only where there is none.
_DERIVED = ("classes", "columns", "data_sha256", "divided", "set_names", "sets")
_LONGEST_NAME = 150  # bytes; a file system's names have 255, ending and number included


def protocol_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a report's numbers may depend on, as one flat dict.

    Args:
        report: of `evaluation.report_of`, or read from a file.
    """
    found = {k: v for k, v in report["protocol"].items() if k not in _NOT_PROTOCOL}
    found["normalizations"] = sorted(report["results"])
    found["calibration"] = "calibration" in report
    if "outliers" in report:
        found["outliers"] = True
    return found


def differences(protocol: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a protocol that differ from another protocol, `shots` first."""
    names = [*protocol, *(name for name in other if name not in protocol)]
    plain = {name: _plain(protocol.get(name)) for name in names}
    changed = [name for name in names if plain[name] != _plain(other.get(name))]
    changed.sort(key=lambda name: name != "shots")
    return {name: plain[name] for name in changed}


def own_files(protocols: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The recipe's files and the protocol of each, `evaluation.json` first.

    Args:
        protocols: the recipe's, one a support size.
    """
    names = [f"{_STEM}_{found['shots']}shot.json" for found in protocols[1:]]
    return dict(zip([EVALUATION, *names], protocols, strict=True))


def file_of(
    protocol: dict[str, Any], own: Mapping[str, dict[str, Any]], same_shots: dict[str, Any]
) -> str:
    """The name of the file in which a result belongs.

    Args:
        protocol: of the result.
        own: of `own_files`.
        same_shots: the recipe's protocol with the support size of the result: what follows from
            the support size alone, such as as many queries, is not named.

    Returns:
        A name of `own`, or such as "evaluation-shots=3,inner_steps=2.json".
    """
    for name, known in own.items():
        if not differences(protocol, known):
            return name
    changed = differences(protocol, same_shots)
    if protocol.get("shots") != own[EVALUATION].get("shots"):
        changed = {"shots": protocol.get("shots"), **changed}
    if not changed:
        changed = differences(protocol, own[EVALUATION])
    return _named(_STEM, changed)


def write_report(folder: Path, name: str, report: dict[str, Any]) -> Path:
    """Writes a report; a result of another protocol under that name is moved, never overwritten.

    The file that was there gets a name that says how it differs ("evaluation-step=4000.json"),
    and so do the pictures of it.

    Args:
        folder: the work directory.
        name: of `file_of`.
        report: what is written.

    Returns:
        The path of the report.
    """
    path = folder / name
    changed = _differences_of_file(path, protocol_of(report))
    if changed:
        kept = _free_path(folder, _named(path.stem, changed))
        for ending in (".json", ".png"):
            for old, new in _names(path.stem, kept.stem):
                if (folder / f"{old}{ending}").exists():
                    (folder / f"{old}{ending}").replace(folder / f"{new}{ending}")
    write_json(path, report)
    return path


def outliers_of(folder: Path, step: int) -> dict[str, Any] | None:
    """What `evaluation.json` says of outlier scores; None where it says nothing of this step.

    Args:
        folder: the work directory.
        step: of the checkpoint that is exported.
    """
    try:
        report = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return report.get("outliers") if report["protocol"].get("step") == step else None


def picture_name(report_name: str, picture: str) -> str:
    """The name of a picture that belongs to a report: "calibration-shots=3.png"."""
    return report_name.replace(_STEM, picture, 1).replace(".json", ".png")


def _names(old: str, new: str) -> list[tuple[str, str]]:
    """Stems of the report and of the pictures that belong to it, as they are and as they get."""
    kinds = (_STEM, "calibration", "adaptation", "paths")
    return [(old.replace(_STEM, kind, 1), new.replace(_STEM, kind, 1)) for kind in kinds]


def _differences_of_file(path: Path, protocol: dict[str, Any]) -> dict[str, Any]:
    try:
        known = protocol_of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {"protocol": "unknown"}
    return differences(known, protocol)


def _free_path(folder: Path, name: str) -> Path:
    path, number = folder / name, 2
    while path.exists():
        path, number = folder / f"{name.removesuffix('.json')}_{number}.json", number + 1
    return path


def _named(stem: str, changed: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in changed.items() if name not in _DERIVED} or changed
    text = ",".join(f"{name}={_said(value)}" for name, value in shown.items())
    joined = f"{stem}{',' if '=' in stem else '-'}{text}"
    return f"{joined.encode()[:_LONGEST_NAME].decode(errors='ignore')}.json"


def _said(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_said, value))
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else value
    text = re.sub(r"[^\w.+-]", "_", str(text))
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that a file and a report in memory compare."""
    return json.loads(json.dumps(value, default=str))
