"""run.json: where, with what and how a run is computed, and what must stay the same on resumption.

Imports no TensorFlow: what it finds in an existing record is set before TensorFlow starts.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from tfmeta.process.cores import usable_cores
from tfmeta.runs.recipe import RecipeError

NAME = "run.json"
CONFIG = "config.gin"
_PACKAGES = ("tfmeta", "tensorflow", "keras", "numpy", "tensorflow-datasets", "gin-config")
# What the weights depend on, bit for bit, besides the recipe.
_DECISIVE = ("tensorflow", "keras")
_NEEDED = ("threads", "onednn")


def read(workdir: Path) -> dict | None:
    """The record of a run, or None where no run has begun."""
    try:
        found = json.loads((workdir / NAME).read_text(encoding="utf-8"))
        lacking = [name for name in _NEEDED if name not in found]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
        return found
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecipeError(
            f"run.json must be the record of a run. Received: {workdir / NAME}: {error}. Choose "
            "another --workdir."
        ) from error


def read_recipe(workdir: Path) -> str:
    """The text of a run's recipe.

    Raises:
        RecipeError: if there is none.
    """
    config = workdir / CONFIG
    try:
        return config.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise RecipeError(
            f"A work directory of `python -m tfmeta.train` has a {CONFIG}. Received: "
            f"{workdir}, which has none. Give the --workdir of a run."
        ) from None
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"A recipe is text. Received: {config}: {error}. Choose another --workdir."
        ) from error


def adopt_environment(workdir: Path) -> None:
    """Sets thread count and oneDNN as in the run's record, unless the user set them; then a run
    goes on with the same bits on a machine with another number of cores.

    Must be called before TensorFlow is imported: it reads these once.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    record = read(workdir)
    if record:
        threads = record["threads"]
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads["intra_op"]))
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(record["onednn"])))


def environment(tf) -> dict:
    """Versions, machine, threads, oneDNN, as they are in this process."""
    threads = tf.config.threading
    cores = usable_cores()
    intra_op = threads.get_intra_op_parallelism_threads()
    intra_op = intra_op or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or cores
    return {
        "versions": {"python": platform.python_version(), **versions(*_PACKAGES)},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": cores,
            "devices": [_device(tf, device) for device in tf.config.list_physical_devices()],
        },
        "threads": {
            "intra_op": intra_op,
            "inter_op": threads.get_inter_op_parallelism_threads() or cores,
        },
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0",
    }


def changes(old: dict, new: dict) -> list[str]:
    """What differs between two sessions of a run and changes its bits, in lines."""
    pairs = [(f"version of {name}", "versions", name) for name in _DECISIVE]
    pairs += [("intra-op threads", "threads", "intra_op"), ("processor", "machine", "processor")]
    found = [
        f"{label}: {old[part].get(name)} -> {new[part].get(name)}"
        for label, part, name in pairs
        if old[part].get(name) != new[part].get(name)
    ]
    found += [
        f"{name}: {old[name]} -> {new[name]}"
        for name in ("onednn", "deterministic", "replicas")
        if old[name] != new[name]
    ]
    workers = zip(old.get("workers", ()), new.get("workers", ()), strict=False)
    for index, (before, now) in enumerate(workers, 1):
        found += [f"worker {index}: {line}" for line in changes(before, now)]
    return found


def session(step: int) -> dict:
    """The entry of one start of the command: when, from which step, with which arguments."""
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"began": began, "from_step": step, "arguments": sys.argv[1:]}


def git_commit() -> str | None:
    """The commit of the source tree that tfmeta is run from, "-dirty" where it was changed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-dirty" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()


def _device(tf, device) -> str:
    details = tf.config.experimental.get_device_details(device) if "GPU" in device.name else {}
    name = details.get("device_name", "")
    return f"{device.name.removeprefix('/physical_device:')} {name}".strip()


def versions(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "unknown"
    )
