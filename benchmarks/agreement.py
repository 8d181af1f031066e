"""Whether contestants compute the same: the meta-gradient and its loss, or the query outputs."""

import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from tests.references import problems

FLOAT64_TOLERANCE = 1e-9


class Distance(NamedTuple):
    """How far an answer is from another.

    Attributes:
        arrays: norm of the difference over the norm of what is expected.
        loss: relative, or absolute below 1.
    """

    arrays: float
    loss: float


# In float32 the order of operations alone may take an activation across a kink of ReLU, where the
# gradient of one task jumps (by 6 % for one of the 32 Omniglot tasks under XLA, while the others
# are 1.5e-6 from float64); the loss does not jump. A gradient without second derivatives or with
# wrong ones is farther off, and by the same in float64, where kinks are no excuse.
FLOAT32_TOLERANCE = Distance(2e-2, 1e-3)
# Where rounding grows over inner steps: of the distance of the first contestant.
FLOAT32_FACTOR = 3.0


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


def distance(workload, answer, expected) -> Distance:
    """How far an answer is from another one."""
    received, wanted = (
        {name: found.arrays[name] for name in workload.compared()} for found in (answer, expected)
    )
    arrays = problems.distance(received, wanted)
    if expected.loss is None:
        return Distance(arrays, 0.0)
    return Distance(arrays, abs(answer.loss - expected.loss) / max(1.0, abs(expected.loss)))


def check(name, far, tolerance):
    """Raises `Disagreement` where a `Distance` is larger than allowed, or not a number."""
    for what, received, allowed in zip(("arrays", "loss"), far, tolerance, strict=True):
        if not received <= allowed:
            raise Disagreement(
                f"All contestants must compute the same, {what} to {allowed:.1e}. Received: "
                f"{name} is {received:.1e} away. Correct it, or leave it out by --contestants=."
            )


def float32_tolerance(first) -> Distance:
    """Largest distance from float64 in float32, given that of the first contestant."""
    return Distance(
        *(
            max(least, FLOAT32_FACTOR * own)
            for least, own in zip(FLOAT32_TOLERANCE, first, strict=True)
        )
    )
