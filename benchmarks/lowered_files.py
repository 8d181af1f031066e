"""The folder that `benchmarks.lowering` writes where TensorFlow is, and a GPU's machine reads."""

import gzip
import json
import os
import pathlib

import numpy as np

from benchmarks.agreement import Answer
from benchmarks.workloads import WORKLOADS

# Where the driver says the folder to its contestants.
VARIABLE = "BENCHMARK_LOWERED"
# Answers that are kept beside a workload's text: PyTorch's in float64, tfmeta's on a CPU.
EXACT, ON_CPU = "exact", "cpu"
# What a training step changes, in the folder of `benchmarks.lowered_training`.
CARRY = "carry.npz"
# Beside it: step, mean loss since the last row, seconds of training.
LOSSES = "losses.csv"


def folder() -> pathlib.Path:
    return pathlib.Path(os.environ[VARIABLE])


def write(folder, name, text, arrays, answers, **about):
    """Stores a workload.

    Args:
        folder: that is there.
        name: of the workload.
        text: StableHLO.
        arrays: arguments that numpy alone cannot make again, by name.
        answers: `Answer`s by EXACT and ON_CPU.
        about: what JSON takes.
    """
    (folder / f"{name}.mlir.gz").write_bytes(gzip.compress(text.encode()))
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    for which, answer in answers.items():
        about[f"{which}_loss"] = answer.loss
        np.savez_compressed(folder / f"{name}.{which}.npz", **answer.arrays)
    (folder / f"{name}.json").write_text(json.dumps(about))


def text(name) -> str:
    return gzip.decompress((folder() / f"{name}.mlir.gz").read_bytes()).decode()


def arrays(name) -> dict:
    with np.load(folder() / f"{name}.npz") as file:
        return dict(file.items())


def about(name) -> dict:
    """What was written last, so that a workload without it is not complete."""
    return json.loads((folder() / f"{name}.json").read_text())


def answer(name, which) -> Answer:
    with np.load(folder() / f"{name}.{which}.npz") as file:
        found = {path: file[path] for path in WORKLOADS[name].outputs()}
    return Answer(about(name)[f"{which}_loss"], found, 0.0)


def read_list(path):
    """Arrays in the order in which `write_list` got them."""
    with np.load(path) as file:
        return [file[name] for name in sorted(file)]


def write_list(path, listed):
    """Stores a list of arrays; a run that is cut off leaves the earlier file."""
    temporary = path.with_suffix(".new.npz")
    np.savez_compressed(temporary, **{f"{index:04}": array for index, array in enumerate(listed)})
    os.replace(temporary, path)
