"""Processes that simulate: the same trajectories as one by one, and how they end."""

import gc
import os
import select
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.test_public_names import modules_after
from tfmeta.rl.simulation_pool import SimulationPool

line_worlds = pytest.importorskip("tests.rl.line_worlds", reason="needs the extra [rl]")
LineWorld, BrokenWorld = line_worlds.LineWorld, line_worlds.BrokenWorld

TRAJECTORIES, STEPS = 5, 12
GOALS = np.linspace(-2.0, 2.0, TRAJECTORIES)[:, None]
SEEDS = list(range(100, 100 + TRAJECTORIES))
PUSHES = np.random.default_rng(0).normal(size=(STEPS, TRAJECTORIES, 1))


@pytest.fixture
def pool_of():
    """`pool_of(make, processes)` -> `SimulationPool`, closed at the end."""
    pools = []

    def open_pool(make=LineWorld, processes=2):
        pools.append(SimulationPool(make, processes))
        return pools[-1]

    yield open_pool
    for pool in pools:
        pool.close()


def drawn(pool, seeds=SEEDS):
    """Observations [STEPS + 1, K, 2], rewards and ends [STEPS, K]."""
    seen, rewards, ended = [pool.start(GOALS, seeds)], [], []
    for pushes in PUSHES:
        for kept, found in zip((seen, rewards, ended), pool.step(pushes), strict=True):
            kept.append(found)
    return np.array(seen), np.array(rewards), np.array(ended)


def wait_for_end(pids, seconds=20):
    """Whether processes end, without asking them again and again."""
    ends = [os.pidfd_open(pid) for pid in pids]
    try:
        return all(select.select([end], [], [], seconds)[0] for end in ends)
    finally:
        for end in ends:
            os.close(end)


def test_trajectories_are_those_of_environments_stepped_one_by_one(pool_of):
    seen, rewards, ended = drawn(pool_of())
    lengths = []
    for number, seed in enumerate(SEEDS):
        world = LineWorld()
        expected, _ = world.reset(seed=seed, options={"task": GOALS[number]})
        np.testing.assert_array_equal(seen[0, number], expected)
        for step in range(STEPS):
            push = 2.0 + 2.0 * np.clip(PUSHES[step, number], -1, 1)
            expected, reward, end, _, _ = world.step(push)
            np.testing.assert_array_equal(seen[step + 1, number], expected)
            assert (rewards[step, number], ended[step, number]) == (reward, end)
            if end:
                break
        lengths.append(step + 1)
        # What follows the end is worth nothing, and stays where it ended.
        assert (rewards[step + 1 :, number] == 0).all()
        assert (seen[step + 1 :, number] == expected).all()
        assert ended[step:, number].all() == end
    assert min(lengths) < STEPS
    assert max(lengths) == STEPS


def test_neither_the_number_of_processes_nor_what_went_before_changes_a_bit(pool_of):
    expected = drawn(pool_of(processes=1))
    for processes in (2, TRAJECTORIES + 1):
        pool = pool_of(processes=processes)
        drawn(pool, seeds=SEEDS[::-1])
        for one, other in zip(drawn(pool), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_batch_may_have_another_size_than_the_last(pool_of):
    pool = pool_of()
    few = pool.start(GOALS[:2], SEEDS[:2])
    many = pool.start(GOALS, SEEDS)
    np.testing.assert_array_equal(few, many[:2])
    assert pool.step(PUSHES[0])[0].shape == (TRAJECTORIES, 2)


def test_a_process_that_dies_is_named(pool_of):
    pool = pool_of()
    pool.start(GOALS, SEEDS)
    pid = pool.process_ids[1]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=rf"process 2 of 2 \(process {pid}\).*exit code -9"):
        drawn(pool)


def test_an_environment_that_fails_says_what_it_said(pool_of):
    pool = pool_of(BrokenWorld)
    with pytest.raises(RuntimeError, match=r"process 1 of 2(?s:.*)FloatingPointError: the line is"):
        drawn(pool)
    assert pool.start(GOALS, SEEDS).shape == (TRAJECTORIES, 2)


def test_a_signal_to_all_processes_is_left_to_the_program(pool_of):
    pool = pool_of()
    expected = pool.start(GOALS, SEEDS)
    for pid in pool.process_ids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    np.testing.assert_array_equal(pool.start(GOALS, SEEDS), expected)


def test_processes_end_with_the_pool():
    pool = SimulationPool(LineWorld, 2)
    pids = pool.process_ids
    pool.close()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    pool = SimulationPool(LineWorld, 2)
    pids = pool.process_ids
    del pool
    gc.collect()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


PROGRAM = """
import sys
from tests.rl.line_worlds import LineWorld
from tfmeta.rl.simulation_pool import SimulationPool
pool = SimulationPool(LineWorld, 2)
pool.start([[1.0], [2.0]], [0, 1])
print(*pool.process_ids, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["killed", "finished"])
def test_processes_end_with_the_program(end):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as program:
        pids = [int(word) for word in program.stdout.readline().split()]
        assert len(pids) == 2
        if end == "killed":
            program.kill()
        else:
            program.stdin.close()
        assert wait_for_end(pids)


def test_a_simulation_process_imports_no_tensorflow():
    loaded = modules_after("import tfmeta.rl.simulation_worker")
    assert not {"tensorflow", "keras"} & set(loaded)
