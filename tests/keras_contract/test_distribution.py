"""`fit`, `evaluate` and `predict` on two replicas give the results of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# One learner of each kind: weights of tasks and averages; tasks left out; parameters of its own;
# draws by the task's index. `python -m tests.keras_contract.two_replicas` compares them all.
PAIRS = [
    ("maml", "weighted"),
    ("maml", "skipping"),
    ("meta_sgd", "accumulating"),
    ("platipus", "clipped"),
]
REFUSED = ("carrying_reptile", "clipped")


@pytest.fixture(scope="module")
def found():
    """What `two_replicas` prints of each learner and kind."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.keras_contract.two_replicas"),
            *(":".join(pair) for pair in [*PAIRS, REFUSED]),
        ],
        text=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(line["name"], line["kind"]): line for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=":".join)
def test_two_replicas_take_the_steps_of_one_device(found, pair):
    result = found[pair]
    assert "refused" not in result, result["refused"]
    assert result["variables"] < 1e-12
    assert result["predictions"] < 1e-12
    # Keras' metrics are float32.
    assert result["history"] < 1e-5
    assert result["evaluation"] < 1e-5


@pytest.mark.slow
def test_moments_that_go_from_task_to_task_are_refused_by_their_argument(found):
    assert "carry_moments=True" in found[REFUSED]["refused"]
