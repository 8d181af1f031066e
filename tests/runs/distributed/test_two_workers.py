"""Two workers on loopback: they train as one process, and a lost one costs no bit of the result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.runs.distributed.worker_processes import PATIENCE, Workers
from tests.runs.finished_runs import losses, tensors
from tfmeta.runs import restore
from tfmeta.runs.metrics_log import read_rows

# Eight processes and minutes of two cores; two devices of one process are `test_mirrored.py`.
pytestmark = pytest.mark.slow

STEPS = 1000
EVERY = 50  # steps to a checkpoint
# TensorFlow's coordination service misses a worker's heartbeat after 10 s.
SECONDS_TO_NOTICE = 60.0
PARAMS = [
    "mlp.hidden = (8,)",
    # A picture of one-dimensional sinusoids takes longer than the rest of the evaluation.
    "mlp.input_dim = 2",
    "sinusoid.input_dim = 2",
    "MAML.test_inner_steps = 1",
    "train.tasks_per_step = 4",
    f"train.steps = {STEPS}",
    "log.every = 20",
    f"log.checkpoint_every = {EVERY}",
    "log.tensorboard = False",
    "validate.every = 0",
    "evaluate.checkpoint = 'last'",
    "evaluate.tasks = 4",
    "evaluate.tasks_per_batch = 4",
    "evaluate.shots = (5,)",
    "evaluate.normalizations = ('transductive',)",
]
TWO = [*PARAMS, "run.strategy = 'multi_worker'"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two workers that was left alone, with its export; and what they said."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    with Workers(workdir, [*TWO, "validate.every = 500", "validate.tasks = 4"]) as workers:
        codes = workers.exit_codes()
        return workdir, codes, workers.said()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The same run with a worker killed, and started again; what was seen each time."""
    workdir = tmp_path_factory.mktemp("interrupted") / "run"
    params, seen = [*TWO, "export.enabled = False"], {}
    with Workers(workdir, params) as workers:
        workers.wait_for_step(EVERY)
        workers.processes[1].kill()
        killed = time.monotonic()
        seen["codes_after_kill"] = workers.exit_codes()
        seen["seconds_after_kill"] = time.monotonic() - killed
        seen["step_after_kill"] = workers.last_step()
        seen["said_after_kill"] = workers.said()
    with Workers(workdir, params) as workers:
        seen["codes_at_the_end"] = workers.exit_codes()
        seen["said"] = workers.said()
    return workdir, seen


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The same run with a worker asked to stop, and started again; what was seen each time."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    params, seen = [*TWO, "export.enabled = False"], {}
    with Workers(workdir, params) as workers:
        workers.wait_for_step(EVERY)
        workers.processes[1].send_signal(signal.SIGTERM)
        seen["codes_after_sigterm"] = workers.exit_codes()
        seen["step_after_sigterm"] = workers.last_step()
    with Workers(workdir, params) as workers:
        seen["codes_at_the_end"] = workers.exit_codes()
        seen["said"] = workers.said()
    return workdir, seen


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The same recipe in one process: folders `mirrored`, on two logical CPUs, and `one_device`."""
    folder = tmp_path_factory.mktemp("one")
    script = Path(__file__).with_name("one_process_runs.py")
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    command = [sys.executable, script, folder, *PARAMS]
    subprocess.run(command, check=True, env=environment, timeout=PATIENCE, capture_output=True)
    return folder


def test_both_workers_end_with_code_0(whole):
    _, codes, said = whole
    assert codes == [0, 0], said


def test_two_workers_train_bit_for_bit_as_two_devices_of_one_process(whole, one_process):
    # Two addends have one order; with three or more devices the ring decides it.
    ours, theirs = tensors(whole[0], STEPS), tensors(one_process / "mirrored", STEPS)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert training_losses(whole[0]) == training_losses(one_process / "mirrored")


def test_two_workers_train_as_one_process_up_to_rounding(whole, one_process):
    ours, theirs = tensors(whole[0], STEPS), tensors(one_process / "one_device", STEPS)
    assert any("parameters" in name for name in ours)
    for name, value in ours.items():
        # The mean over tasks is summed in another order: 6e-8 a step in weights of size 1.
        np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_chief_alone_writes_evaluates_and_exports(whole):
    workdir, _, (chief, other) = whole
    assert "Everything is in" in chief
    assert "loaded" in chief
    assert "Everything is in" not in other
    assert "trained on 2 workers. The chief goes on alone" in other
    record = json.loads((workdir / "run.json").read_text())
    assert record["replicas"] == 2
    assert len(record["workers"]) == 1
    # One start of the run, though two processes began.
    assert len(record["sessions"]) == 1
    assert [row["step"] for row in read_rows(workdir / "metrics.csv")] == [
        str(step) for step in range(20, STEPS + 1, 20)
    ]
    assert (workdir / "checkpoints" / "best.json").exists()
    assert (workdir / "evaluation.json").exists()


def test_the_export_of_two_workers_answers_as_the_restored_learner(whole):
    workdir = whole[0]
    learner = restore(workdir)
    x = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    y = np.sin(x[:5, :1])
    served = tf.saved_model.load(str(workdir / "export" / "1")).signatures["adapt_and_predict"]
    answers = served(
        support_inputs=tf.constant(x[:5]),
        support_targets=tf.constant(y),
        query_inputs=tf.constant(x[5:]),
    )
    expected = learner.predict((x[None, :5], y[None], x[None, 5:]), verbose=0)[0]
    np.testing.assert_allclose(answers["predictions"], expected, rtol=1e-5, atol=1e-6)


def test_a_killed_worker_ends_the_others_soon_in_words_and_not_with_code_0(interrupted):
    _, seen = interrupted
    assert seen["codes_after_kill"] == [1, -signal.SIGKILL], seen["said_after_kill"]
    assert seen["seconds_after_kill"] < SECONDS_TO_NOTICE
    assert EVERY <= seen["step_after_kill"] < STEPS
    chief = seen["said_after_kill"][0]
    assert "error: All workers of a run must stay until its last step." in chief
    assert f"the run goes on from step {seen['step_after_kill']}." in chief


def test_the_same_commands_end_bit_for_bit_as_a_run_left_alone(interrupted, whole):
    _, seen = interrupted
    for said in seen["said"]:
        assert f"goes on from step {seen['step_after_kill']}\n" in said
    check_same_end(interrupted, whole)


def test_sigterm_to_one_worker_saves_and_stops_all_at_one_step_with_code_0(stopped, whole):
    _, seen = stopped
    assert seen["codes_after_sigterm"] == [0, 0], seen["said"]
    step = seen["step_after_sigterm"]
    assert EVERY <= step < STEPS
    for said in seen["said"]:
        assert f"Stopped by SIGTERM at step {step} of {STEPS}" in said
        assert f"goes on from step {step}\n" in said
    check_same_end(stopped, whole)


def training_losses(workdir):
    """Step and loss of each row: of these runs, only the one that is left alone validates."""
    return [row[:2] for row in losses(workdir)]


def check_same_end(run, whole):
    workdir, seen = run
    assert seen["codes_at_the_end"] == [0, 0], seen["said"]
    ours, theirs = tensors(workdir, STEPS), tensors(whole[0], STEPS)
    assert any("optimizer" in name for name in theirs)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)
    assert training_losses(workdir) == training_losses(whole[0])
