"""2D navigation beside a point moved one step at a time by NumPy, and its stream of goals."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta import rl
from tfmeta.rl.navigation import best_return
from tfmeta.rl.sampling import sample_trajectories
from tfmeta.rl.trajectories import returns

GOALS = np.array([[0.25, -0.1], [0.05, 0.0]], "float32")


def batch_of(goals, count=3):
    """Parameters [T, N, 2] and keys [T, 2]."""
    keys = tf.range(2 * len(goals), dtype=tf.int32)
    return tf.repeat(tf.constant(goals)[:, None], count, axis=1), tf.reshape(keys, [-1, 2])


def wander(observations):
    """A policy that drifts to the right and spreads: outputs [T, N, 4]."""
    mean = 0.3 * tf.ones_like(observations) - observations
    return tf.concat([mean, tf.fill(tf.shape(mean), -0.5)], axis=-1)


def follow(goal, actions, horizon):
    """Positions, rewards and how long a point lasts, step by step."""
    position, positions, rewards = np.zeros(2, "float32"), [], []
    for action in actions[:horizon]:
        positions.append(position)
        position = position + np.float32(0.1) * np.clip(action, -1, 1)
        rewards.append(-np.linalg.norm(position - goal))
        if -rewards[-1] < 0.01:
            break
    return np.array(positions), np.array(rewards)


def test_points_move_and_are_rewarded_as_one_by_one():
    environment = rl.Navigation(horizon=20, goal_radius=0.05)
    drawn = sample_trajectories(environment, wander, *batch_of(GOALS))
    assert drawn.rewards.shape == (2, 3, 20)
    ended = 0
    for task, goal in enumerate(GOALS):
        for number in range(3):
            kept = int(drawn.mask[task, number].numpy().sum())
            positions, rewards = follow(goal, drawn.actions[task, number].numpy(), 20)
            first = np.flatnonzero(-rewards < 0.05)
            expected = first[0] + 1 if len(first) else 20
            assert kept == expected
            ended += kept < 20
            seen = drawn.observations[task, number, :kept]
            np.testing.assert_allclose(seen, positions[:kept], atol=1e-6)
            np.testing.assert_allclose(
                drawn.rewards[task, number, :kept], rewards[:kept], atol=1e-6
            )
    assert ended > 0


def test_actions_are_drawn_from_what_the_policy_says():
    environment = rl.Navigation(horizon=50)
    drawn = sample_trajectories(environment, wander, *batch_of(GOALS, count=200))
    mean, log_std = tf.split(drawn.policy_outputs, 2, axis=-1)
    noise = ((drawn.actions - mean) / tf.exp(log_std)).numpy()
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    # Neither tasks, trajectories, steps nor axes share their noise.
    assert len(np.unique(noise.round(6))) > 0.95 * noise.size


def test_trajectories_of_a_task_do_not_depend_on_the_others_of_the_batch():
    environment = rl.Navigation(horizon=5)
    parameters, keys = batch_of(GOALS)
    both = sample_trajectories(environment, wander, parameters, keys)
    alone = sample_trajectories(environment, wander, parameters[1:], keys[1:])
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(one[1:], other)


def test_the_best_return_is_that_of_a_point_that_knows_its_goal():
    goals = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2)).astype("float32")
    environment = rl.Navigation(horizon=30)
    for goal, best in zip(goals, best_return(tf.constant(goals), environment), strict=True):
        position, total = np.zeros(2), 0.0
        for _ in range(30):
            position += np.clip(goal - position, -0.1, 0.1)
            total -= np.linalg.norm(position - goal)
        np.testing.assert_allclose(best, total, atol=1e-5)


def test_no_policy_does_better_than_the_best_motion():
    environment = rl.Navigation(horizon=30)
    drawn = sample_trajectories(environment, wander, *batch_of(GOALS, count=50))
    sums = tf.reduce_sum(drawn.rewards * drawn.mask, axis=-1).numpy()
    best = best_return(tf.constant(GOALS), environment).numpy()
    # A trajectory may end up to the radius before its goal, once.
    assert (sums.max(axis=1) <= best + 0.011).all()
    assert (returns(drawn).numpy() <= best).all()


def test_goal_i_is_a_function_of_the_seed_and_i():
    stream = rl.environment_tasks(rl.Navigation(), "test", shots=4, seed=3)
    goals, keys = next(iter(stream.batch(6)))
    late = rl.environment_tasks(rl.Navigation(), "test", shots=4, seed=3, start=2)
    again, keys_again = next(iter(late.batch(4)))
    np.testing.assert_array_equal(goals[2:], again)
    np.testing.assert_array_equal(keys[2:], keys_again)
    np.testing.assert_array_equal(stream.sample(5)[0], goals[5])
    assert (goals.numpy() == goals.numpy()[:, :1]).all()
    for other in (
        rl.environment_tasks(rl.Navigation(), "train", shots=4, seed=3),
        rl.environment_tasks(rl.Navigation(), "test", shots=4, seed=4),
    ):
        assert (next(iter(other.batch(6)))[0] != goals).numpy().all()


def test_goals_fill_their_square():
    goals, _ = next(iter(rl.environment_tasks(rl.Navigation(), shots=1).batch(2000)))
    low, high = goals.numpy().min(axis=(0, 1)), goals.numpy().max(axis=(0, 1))
    assert (low > -0.5).all()
    assert (high < 0.5).all()
    np.testing.assert_allclose([low, high], [[-0.5] * 2, [0.5] * 2], atol=0.01)
    np.testing.assert_allclose(goals.numpy().mean(axis=(0, 1)), 0, atol=0.03)


def test_a_batch_of_unknown_size_is_refused_in_words():
    @tf.function(input_signature=[tf.TensorSpec([None, 3, 2])], autograph=False)
    def draw(parameters):
        keys = tf.zeros([tf.shape(parameters)[0], 2], tf.int32)
        return sample_trajectories(rl.Navigation(), wander, parameters, keys)

    with pytest.raises(ValueError, match="drop_remainder=True"):
        draw(tf.zeros([2, 3, 2]))
