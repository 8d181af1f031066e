"""Several devices: the same steps as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A minute of two cores.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result():
    script = Path(__file__).with_name("mirrored_steps.py")
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    output = subprocess.check_output([sys.executable, script], text=True, env=environment)
    return json.loads(output.splitlines()[-1])


def test_two_devices_train_as_one(result):
    assert result["replicas"] == [1, 2]
    # The tasks' mean is summed in another order; in float32 weights of size 1 that is 1e-7 a step.
    assert result["largest_difference"] < 1e-5
    one, two = result["values"]
    assert one["accuracy"] == pytest.approx(two["accuracy"])
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


def test_fit_on_two_devices_is_fit_on_one(result):
    found = result["fit"]
    assert max(found["variables"], found["predictions"]) < 1e-12
    assert max(found["history"], found["evaluation"]) < 1e-5


def test_a_run_over_two_devices_is_exported_and_restored_on_one(result):
    assert result["run"] == {
        "exports": ["export/1/saved_model.pb"],
        "replicas": 2,
        "learner": "MAML",
    }
