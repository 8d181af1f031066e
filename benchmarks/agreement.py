"""Whether contestants compute the same: the meta-gradient and its loss, or the query outputs."""

import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from tests.references import problems

FLOAT64_TOLERANCE = 1e-9
# In float32 the order of operations alone moves a network with kinks: by so much at most, or by
# three times what it moves the first contestant.
FLOAT32_TOLERANCE, FLOAT32_FACTOR = 1e-3, 3.0


class Disagreement(RuntimeError):
    """A contestant computes something else."""


class Answer(NamedTuple):
    """What a contestant computed: its loss or None, arrays by name, seconds of this first call."""

    loss: float | None
    arrays: dict
    seconds: float


def ask(process, workload, limit) -> Answer:
    """The answer of a contestant that is built, within `limit` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "answer.npz"
        answer = process.ask("answer", limit, path=str(path))
        with np.load(path) as file:
            arrays = dict(zip(workload.outputs(), file.values(), strict=True))
    return Answer(answer["loss"], arrays, answer["seconds"])


def distance(workload, answer, expected) -> float:
    """How far an answer is from another, relative to its norm (a loss below 1: absolute)."""
    received, wanted = (
        {name: found.arrays[name] for name in workload.compared()} for found in (answer, expected)
    )
    far = problems.distance(received, wanted)
    if expected.loss is None:
        return far
    return float(np.maximum(far, abs(answer.loss - expected.loss) / max(1.0, abs(expected.loss))))


def check(name, far, tolerance):
    """Raises `Disagreement` where a distance is larger than allowed, or not a number."""
    if not far <= tolerance:
        raise Disagreement(
            f"All contestants must compute the same, to {tolerance:.1e}. "
            f"Received: {name} is {far:.1e} away. Correct it, or leave it out by --contestants=."
        )


def float32_tolerance(far_of_first) -> float:
    """Largest distance from float64 in float32, given that of the first contestant."""
    return max(FLOAT32_TOLERANCE, FLOAT32_FACTOR * far_of_first)
