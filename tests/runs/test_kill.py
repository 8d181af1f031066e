"""Runs as processes: asked to stop, killed, started again, they end with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.runs.finished_runs import losses, tensors
from tfmeta.runs.checkpoints import Checkpoints

# Four processes; `test_training.py` resumes within one.
pytestmark = pytest.mark.slow

STEPS = 1200
EVERY = 50  # steps to a checkpoint
KILLS = 2
PATIENCE = 600.0  # seconds that a process may take on a busy machine
BINDINGS = (
    "mlp.hidden = (8,)",
    # A picture of one-dimensional sinusoids takes longer than the rest of the evaluation.
    "mlp.input_dim = 2",
    "sinusoid.input_dim = 2",
    "MAML.test_inner_steps = 1",
    # Two runs that time ways to compute may choose differently, and another way has other bits.
    "MAML.parallel = 'vectorized'",
    "run.jit_compile = False",
    "train.tasks_per_step = 4",
    f"train.steps = {STEPS}",
    "log.every = 20",
    f"log.checkpoint_every = {EVERY}",
    "log.tensorboard = False",
    f"validate.every = {EVERY // 2 + 10}",  # between checkpoints, and between rows
    "validate.tasks = 4",
    "evaluate.tasks = 4",
    "evaluate.tasks_per_batch = 4",
    "evaluate.shots = (5,)",
    "export.enabled = False",
)


# An interpreter that trains in several work directories, in turn.
IN_TURN = """
import sys
from tfmeta.runs import recipe
from tfmeta.runs import train

workdirs, bindings = sys.argv[1].split(":"), sys.argv[2:]
for workdir in workdirs:
    assert train(recipe.read_recipe(["sinusoid_maml.gin"], bindings), workdir) == 0
"""


def _start(workdir: Path) -> subprocess.Popen:
    params = [f"--gin_param={binding}" for binding in BINDINGS]
    command = ["-m", "tfmeta.train", "--gin_file=sinusoid_maml.gin", *params]
    return _interpreter(workdir, *command, f"--workdir={workdir}")


def _interpreter(workdir: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    with open(workdir.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(
            [sys.executable, *arguments], stdout=log, stderr=log, env=environment
        )


def _last_step(workdir: Path) -> int:
    return max(Checkpoints(workdir / "checkpoints").steps(), default=0)


def _wait_for_step(process: subprocess.Popen, workdir: Path, step: int) -> None:
    """Returns when a checkpoint of `step` or later is there, while the process runs."""
    deadline = time.monotonic() + PATIENCE
    while _last_step(workdir) < step:
        assert process.poll() is None, workdir.with_suffix(".log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _finish(process: subprocess.Popen, workdir: Path) -> int:
    code = process.wait(PATIENCE)
    assert code == 0, workdir.with_suffix(".log").read_text()
    return code


class Runs(NamedTuple):
    """A run left alone, and one that was stopped at a step and killed at several."""

    uninterrupted: Path
    interrupted: Path
    asked: int
    killed: list[int]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both runs, to their end."""
    whole = tmp_path_factory.mktemp("whole") / "run"
    workdir = tmp_path_factory.mktemp("interrupted") / "run"
    chance = random.Random(0)
    process = _start(workdir)
    _wait_for_step(process, workdir, EVERY)
    process.send_signal(signal.SIGTERM)
    _finish(process, workdir)
    asked = _last_step(workdir)
    killed = []
    for kill in range(KILLS):
        process = _start(workdir)
        share = (kill + chance.random()) / (KILLS + 1)
        _wait_for_step(process, workdir, max(_last_step(workdir) + 1, int(share * STEPS)))
        # Anywhere between two checkpoints, or in the middle of writing one.
        time.sleep(chance.random() * 0.1)
        process.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL
        killed.append(_last_step(workdir))
    both = _interpreter(workdir, "-c", IN_TURN, f"{whole}:{workdir}", *BINDINGS)
    _finish(both, workdir)
    return Runs(whole, workdir, asked, killed)


def test_each_kill_fell_after_a_checkpoint_and_before_the_end(runs):
    asked, killed = runs.asked, runs.killed
    assert 0 < asked < STEPS
    assert all(asked < step < STEPS for step in killed)
    assert killed == sorted(set(killed))


def test_a_run_that_was_killed_ends_bit_for_bit_as_one_left_alone(runs):
    whole, resumed = tensors(runs.uninterrupted, STEPS), tensors(runs.interrupted, STEPS)
    assert any("optimizer" in name for name in whole)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_its_rows_and_its_evaluation_are_those_of_one_left_alone(runs):
    both = runs[:2]
    ours, theirs = map(losses, both)
    assert ours == theirs
    assert sum(bool(value) for _, _, value in ours) > STEPS // EVERY
    ours, theirs = ((workdir / "evaluation.json").read_text() for workdir in both)
    assert ours == theirs


def test_sigterm_says_where_it_stopped_and_that_the_same_command_goes_on(runs):
    asked = runs.asked
    said = runs.interrupted.with_suffix(".log").read_text()
    assert f"Stopped by SIGTERM at step {asked} of {STEPS}" in said
    assert f"goes on from step {asked}" in said
