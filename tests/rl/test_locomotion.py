"""Half-cheetah and ant beside gymnasium's own environments and the formulas of their rewards."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta import rl
from tfmeta.tasks.draws import random_bits

pytest.importorskip("mujoco", reason="needs the extra [rl]")
gymnasium = pytest.importorskip("gymnasium", reason="needs the extra [rl]")

STEP_SECONDS = 0.05
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (15, 8)).astype("float32")
ENVIRONMENTS = {
    "HalfCheetah-v5": (rl.HalfCheetahDirection(), rl.HalfCheetahVelocity()),
    "Ant-v5": (rl.AntDirection(), rl.AntVelocity()),
}


def place(environment):
    """Where the body is along x, as gymnasium's environments measure it."""
    data = environment.unwrapped.data
    return data.qpos[0] if environment.action_space.shape == (6,) else data.body("torso").xpos[0]


def simulated(environment, task, seed=3):
    """Observations, rewards, ends and positions along x of one trajectory."""
    rows = [(environment.reset(seed=seed, options={"task": [task]})[0], 0.0, False)]
    places = [place(environment)]
    for action in ACTIONS[:, : environment.action_space.shape[0]]:
        rows.append(environment.step(action)[:3])
        places.append(place(environment))
    return *(np.array(column) for column in zip(*rows, strict=True)), np.array(places)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_bodies_move_as_gymnasiums_own(name):
    ours, other = (environment.maker()() for environment in ENVIRONMENTS[name])
    theirs = gymnasium.make(name).unwrapped
    # Another body of the same compiled model moves in between.
    simulated(other, 1.0, seed=4)
    for found, expected in zip(
        (simulated(ours, 1.0)[column] for column in (0, 2, 3)),
        (simulated(theirs, 1.0)[column] for column in (0, 2, 3)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert ours.unwrapped.model is other.unwrapped.model
    for environment in ENVIRONMENTS[name]:
        sizes = environment.observation_size, environment.action_size
        assert sizes == (*theirs.observation_space.shape, *theirs.action_space.shape)


@pytest.mark.parametrize("task", [1.0, -1.0])
def test_a_half_cheetah_is_paid_for_its_velocity_and_pays_for_control(task):
    _, rewards, _, places = simulated(rl.HalfCheetahDirection().maker()(), task)
    velocity = np.diff(places) / STEP_SECONDS
    expected = task * velocity - 0.05 * np.square(ACTIONS[:, :6]).sum(axis=1)
    np.testing.assert_allclose(rewards[1:], expected, rtol=1e-5, atol=1e-6)


def test_a_half_cheetah_is_paid_for_being_near_a_velocity():
    _, rewards, _, places = simulated(rl.HalfCheetahVelocity().maker()(), 1.3)
    velocity = np.diff(places) / STEP_SECONDS
    expected = -np.abs(velocity - 1.3) - 0.05 * np.square(ACTIONS[:, :6]).sum(axis=1)
    np.testing.assert_allclose(rewards[1:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("environment", "paid"),
    [
        (rl.AntDirection(), lambda velocity: -velocity),
        (rl.AntVelocity(), lambda velocity: 1.0 - np.abs(velocity + 1.0)),
    ],
)
def test_an_ant_is_paid_for_motion_and_life_and_pays_for_control_and_contact(environment, paid):
    seen, rewards, _, places = simulated(environment.maker()(), -1.0)
    contact = 5e-4 * np.square(seen[1:, 27:]).sum(axis=1)
    control = 0.005 * np.square(ACTIONS).sum(axis=1)
    expected = paid(np.diff(places) / STEP_SECONDS) + 0.05 - control - contact
    np.testing.assert_allclose(rewards[1:], expected, rtol=1e-5, atol=1e-6)


def test_tasks_are_two_directions_or_a_range_of_velocities():
    bits = random_bits(5, tf.constant(0, tf.int64), 1000, 1)
    for directions in (rl.HalfCheetahDirection(), rl.AntDirection()):
        values, counts = np.unique(directions.tasks(bits), return_counts=True)
        assert values.tolist() == [-1, 1]
        assert counts.min() > 400
    for velocities, highest in ((rl.HalfCheetahVelocity(), 2), (rl.AntVelocity(), 3)):
        found = velocities.tasks(bits).numpy()
        assert found.shape == (1000, 1)
        np.testing.assert_allclose([found.min(), found.max()], [0, highest], atol=0.02)
