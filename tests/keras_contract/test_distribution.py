"""`fit`, `evaluate` and `predict` on two replicas give the results of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found():
    """What `two_replicas` prints of each learner and optimizer."""
    output = subprocess.check_output(
        [sys.executable, "-m", "tests.keras_contract.two_replicas"],
        text=True,
        cwd=ROOT,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {(line["name"], line["kind"]): line for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clipped", "accumulating"])
@pytest.mark.parametrize("name", registry.LEARNERS)
def test_two_replicas_take_the_steps_of_one_device(found, name, kind):
    result = found[name, kind]
    if name == "carrying_reptile":
        assert "carry_moments=True" in result["refused"]
        return
    assert result["variables"] < 1e-12
    assert result["predictions"] < 1e-12
    # Keras' metrics are float32.
    assert result["history"] < 1e-5
    assert result["evaluation"] < 1e-5
