"""Environments that gymnasium simulates, as TensorFlow sees them."""

import functools
import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tfmeta import rl
from tfmeta.rl.sampling import sample_trajectories
from tfmeta.runs.recipe import RecipeError, explained
from tfmeta.tasks.draws import uniform

line_worlds = pytest.importorskip("tests.rl.line_worlds", reason="needs the extra [rl]")


class Lines(rl.GymnasiumEnvironment):
    """The family of `LineWorld`: a task is a place in [-2, 2]."""

    name, task_size, horizon = "lines", 1, 6

    def __init__(self, processes=1, world=line_worlds.LineWorld):
        self.processes = processes
        self.world = world

    def tasks(self, bits):
        return uniform(bits, -2.0, 2.0)

    def maker(self):
        return self.world


def batch(environment, tasks=3, shots=4):
    return next(iter(rl.environment_tasks(environment, shots=shots, seed=1).batch(tasks)))


def homing(observations):
    """A policy that goes to the origin, with noise: outputs [T, N, 2]."""
    mean = -0.4 * observations[..., :1] - observations[..., 1:]
    return tf.concat([mean, -0.5 * tf.ones_like(mean)], axis=-1)


def draw(environment, parameters, keys):
    sample = tf.function(functools.partial(sample_trajectories, environment), autograph=False)
    return sample(homing, parameters, keys)


@pytest.fixture(scope="module")
def lines():
    return Lines()


def test_the_number_of_processes_changes_no_bit(lines):
    data = batch(lines)
    expected = draw(lines, *data)
    for one in (draw(lines, *data), draw(Lines(processes=3), *data)):
        for found, value in zip(one, expected, strict=True):
            np.testing.assert_array_equal(found, value)


def test_trajectories_are_those_of_the_environment_with_the_actions_of_the_policy(lines):
    parameters, keys = batch(lines)
    drawn = draw(lines, tf.cast(parameters, tf.float64), keys)
    lengths = set()
    for task in range(3):
        for number in range(4):
            seed = np.random.SeedSequence([*keys[task].numpy().astype("uint32").tolist(), number])
            world = line_worlds.LineWorld()
            world.reset(
                seed=int(seed.generate_state(1, np.uint64)[0]),
                options={"task": parameters[task, number].numpy().astype("float64")},
            )
            seen, rewards = [], []
            for action in drawn.actions[task, number].numpy():
                seen.append(world._seen())
                _, reward, ended, _, _ = world.step(2.0 + 2.0 * np.clip(action, -1, 1))
                rewards.append(reward)
                if ended:
                    break
            length = len(rewards)
            lengths.add(length)
            assert drawn.mask[task, number].numpy().tolist() == [1] * length + [0] * (6 - length)
            np.testing.assert_array_equal(drawn.observations[task, number, :length], seen)
            np.testing.assert_array_equal(drawn.rewards[task, number, :length], rewards)
    assert len(lengths) > 1


def test_other_keys_start_elsewhere(lines):
    parameters, keys = batch(lines)
    one, other = (draw(lines, parameters, k).observations[:, :, 0] for k in (keys, keys + 1))
    assert len(np.unique(np.concatenate([one, other])[..., 0])) == 24


def test_a_policy_learns_where_gymnasium_simulates(lines):
    network = rl.gaussian_mlp(2, 1, hidden=(6,))
    outer = rl.PolicyGradient()  # TRPO's loops take long to trace, and draw nothing
    learner = rl.PolicyMAML(network, lines, test_inner_steps=1, outer=outer)
    learner.compile()
    tasks = rl.environment_tasks(lines, shots=4, seed=0).batch(3)
    before = [variable.numpy() for variable in learner.parameter_variables]
    history = learner.fit(tasks, steps_per_epoch=1, verbose=0).history
    assert history["return_after"][0] < 0
    assert any((v.numpy() != b).any() for v, b in zip(learner.weights, before, strict=True))
    assert learner.task_metrics(next(iter(tasks)))["return"].shape == (3, 2)


def test_a_step_of_trajectories_that_are_no_more_is_refused(lines):
    parameters, keys = batch(lines)
    state = lines.start(parameters, keys)
    lines.start(parameters, keys)
    with pytest.raises(RuntimeError, match="one batch after another"):
        lines.step(state, tf.zeros([3, 4, 1]))


def test_an_environment_that_fails_says_so_in_a_compiled_step():
    broken = Lines(world=line_worlds.BrokenWorld)
    with pytest.raises(tf.errors.UnknownError, match="the line is torn"):
        draw(broken, *batch(broken))


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (line_worlds.ButtonWorld, r"must be vectors.*Discrete\(3\) in 'lines'"),
        (line_worlds.BoundlessWorld, "must have bounds"),
    ],
)
def test_spaces_that_a_policy_cannot_serve_are_refused(world, said):
    with pytest.raises(ValueError, match=said):
        Lines(world=world).action_size  # noqa: B018


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"no package gymnasium.*pip install 'tfmeta\[rl\]'"):
        Lines().observation_size  # noqa: B018
    with pytest.raises(RecipeError, match=r"recipe x.*tfmeta\[rl\]"), explained("recipe x"):
        rl.HalfCheetahDirection().observation_size  # noqa: B018
