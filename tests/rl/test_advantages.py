"""Baseline and advantages beside plain NumPy, one trajectory and one step at a time."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.rl.advantages import (
    discounted_sums,
    generalized_advantages,
    linear_baseline,
    with_advantages,
)
from tfmeta.rl.trajectories import Trajectories, mean_over_steps, returns

TASKS, COUNT, HORIZON, SIZE = 2, 3, 7, 2
DISCOUNT = 0.9
LENGTHS = np.array([[7, 4, 1], [5, 7, 6]])


@pytest.fixture
def trajectories():
    """Trajectories [T, N, H, ...] of other lengths each, with noise after their ends."""
    generator = np.random.default_rng(0)
    mask = (np.arange(HORIZON) < LENGTHS[..., None]).astype("float64")
    shape = (TASKS, COUNT, HORIZON)
    return Trajectories(
        observations=tf.constant(generator.normal(scale=8, size=(*shape, SIZE))),
        actions=tf.zeros((*shape, 1), tf.float64),
        rewards=tf.constant(generator.normal(size=shape)),
        mask=tf.constant(mask),
        policy_outputs=tf.zeros((*shape, 2), tf.float64),
    )


def returns_of(rewards):
    """Discounted returns of one trajectory, from its last step backwards."""
    found, following = [], 0.0
    for reward in reversed(rewards):
        following = reward + DISCOUNT * following
        found.insert(0, following)
    return np.array(found)


def each_trajectory(trajectories):
    for task in range(TASKS):
        for number in range(COUNT):
            length = LENGTHS[task, number]
            yield task, number, length, trajectories.rewards.numpy()[task, number, :length]


def test_discounted_sums_are_those_of_the_recursion():
    values = np.random.default_rng(1).normal(size=(4, HORIZON))
    expected = [returns_of(row) for row in values]
    np.testing.assert_allclose(discounted_sums(tf.constant(values), DISCOUNT), expected, rtol=1e-12)
    np.testing.assert_array_equal(discounted_sums(tf.constant(values), 0.0), values)


def test_the_baseline_is_the_least_squares_fit_of_each_task(trajectories):
    found = linear_baseline(trajectories, DISCOUNT).numpy()
    for task in range(TASKS):
        rows, targets = [], []
        for at, number, length, rewards in each_trajectory(trajectories):
            if at != task:
                continue
            seen = np.clip(trajectories.observations.numpy()[task, number, :length], -10, 10)
            time = np.arange(length)[:, None] / 100
            rows.append(np.hstack([seen, seen**2, time, time**2, time**3, np.ones((length, 1))]))
            targets.append(returns_of(rewards))
        # The ridge as more rows of the least squares problem.
        ridge = np.sqrt(1e-5) * np.eye(2 * SIZE + 4)
        matrix, right = (
            np.vstack([*rows, ridge]),
            np.concatenate([*targets, np.zeros(2 * SIZE + 4)]),
        )
        coefficients = np.linalg.lstsq(matrix, right, rcond=None)[0]
        for number in range(COUNT):
            length = LENGTHS[task, number]
            expected = rows[number] @ coefficients
            np.testing.assert_allclose(found[task, number, :length], expected, rtol=1e-6, atol=1e-8)
            assert (found[task, number, length:] == 0).all()


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_advantages_are_the_weighted_sum_of_temporal_differences(trajectories, gae_lambda):
    values = np.random.default_rng(2).normal(size=(TASKS, COUNT, HORIZON))
    found = generalized_advantages(
        trajectories.rewards, tf.constant(values), trajectories.mask, DISCOUNT, gae_lambda
    ).numpy()
    for task, number, length, rewards in each_trajectory(trajectories):
        predicted = np.append(values[task, number, :length], 0.0)  # the end is worth nothing
        errors = rewards + DISCOUNT * predicted[1:] - predicted[:-1]
        expected = [
            sum((DISCOUNT * gae_lambda) ** k * error for k, error in enumerate(errors[step:]))
            for step in range(length)
        ]
        np.testing.assert_allclose(found[task, number, :length], expected, rtol=1e-10)
        assert (found[task, number, length:] == 0).all()


def test_with_lambda_one_an_advantage_is_the_return_minus_the_baseline(trajectories):
    values = linear_baseline(trajectories, DISCOUNT)
    found = generalized_advantages(
        trajectories.rewards, values, trajectories.mask, DISCOUNT, 1.0
    ).numpy()
    for task, number, length, rewards in each_trajectory(trajectories):
        expected = returns_of(rewards) - values.numpy()[task, number, :length]
        np.testing.assert_allclose(found[task, number, :length], expected, rtol=1e-8, atol=1e-10)


def test_advantages_are_standardised_over_the_steps_of_a_task(trajectories):
    experience = with_advantages(trajectories, DISCOUNT)
    for task in range(TASKS):
        kept = experience.advantages.numpy()[task][trajectories.mask.numpy()[task] > 0]
        np.testing.assert_allclose([kept.mean(), kept.std()], [0, 1], atol=1e-7)


def test_the_return_of_a_task_counts_rewards_up_to_the_end(trajectories):
    sums = np.zeros((TASKS, COUNT))
    for task, number, _, rewards in each_trajectory(trajectories):
        sums[task, number] = rewards.sum()
    np.testing.assert_allclose(returns(trajectories), sums.mean(axis=1), rtol=1e-12)


def test_a_mean_over_steps_leaves_out_what_comes_after_the_end(trajectories):
    rewards, mask = trajectories.rewards.numpy(), trajectories.mask.numpy()
    expected = [rewards[task][mask[task] > 0].mean() for task in range(TASKS)]
    found = mean_over_steps(trajectories.rewards, trajectories.mask)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not mean_over_steps(trajectories.rewards, 0 * trajectories.mask).numpy().any()
