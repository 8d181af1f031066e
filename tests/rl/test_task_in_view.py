"""The oracle's environment: the one inside, with its task's parameter in view."""

import numpy as np
import tensorflow as tf

from tfmeta import rl
from tfmeta.rl.sampling import sample_trajectories


def test_the_policy_sees_its_task_and_all_else_is_as_inside():
    inside = rl.Navigation(horizon=6, goal_radius=0.1)
    oracle = rl.TaskInView(inside)
    data = next(iter(rl.environment_tasks(oracle, shots=3, seed=2).batch(4)))
    for one, other in zip(
        data, next(iter(rl.environment_tasks(inside, shots=3, seed=2).batch(4))), strict=True
    ):
        np.testing.assert_array_equal(one, other)

    def blind(observations):
        mean = 0.5 - observations[..., :2]
        return tf.concat([mean, tf.zeros_like(mean)], axis=-1)

    seeing, plain = (sample_trajectories(e, blind, *data) for e in (oracle, inside))
    np.testing.assert_array_equal(seeing.observations[..., :2], plain.observations)
    goals = np.broadcast_to(data[0][:, :, None], (4, 3, 6, 2))
    np.testing.assert_array_equal(seeing.observations[..., 2:], goals)
    for name in ("actions", "rewards", "mask"):
        np.testing.assert_array_equal(getattr(seeing, name), getattr(plain, name))


def test_an_oracle_goes_where_its_task_is_without_an_update():
    environment = rl.TaskInView(rl.Navigation(horizon=8))
    data = next(iter(rl.environment_tasks(environment, shots=2, seed=0).batch(3)))

    def directed(observations):
        mean = 10 * (observations[..., 2:] - observations[..., :2])
        return tf.concat([mean, tf.fill(tf.shape(mean), -6.0)], axis=-1)

    drawn = sample_trajectories(environment, directed, *data)
    last = drawn.observations[:, :, -1]
    np.testing.assert_allclose(last[..., :2], last[..., 2:], atol=0.02)
