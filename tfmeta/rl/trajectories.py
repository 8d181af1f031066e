"""What a policy did and got: the support and query sets of reinforcement learning."""

from typing import NamedTuple

import tensorflow as tf


class Trajectories(NamedTuple):
    """N trajectories of at most H steps; leading axes (tasks) may come before.

    Attributes:
        observations: [..., N, H, o], what the policy saw before each action.
        actions: [..., N, H, a].
        rewards: [..., N, H], undiscounted.
        mask: [..., N, H], 1 while the trajectory lasts and 0 after its end.
        policy_outputs: [..., N, H, 2 a], what the policy that drew the actions said: means and log
            standard deviations.
    """

    observations: tf.Tensor
    actions: tf.Tensor
    rewards: tf.Tensor
    mask: tf.Tensor
    policy_outputs: tf.Tensor


class Experience(NamedTuple):
    """Trajectories with the advantage of each action.

    Attributes:
        trajectories: `Trajectories`.
        advantages: [..., N, H]; a constant for every derivative.
    """

    trajectories: Trajectories
    advantages: tf.Tensor


def returns(trajectories: Trajectories) -> tf.Tensor:
    """The mean over trajectories of the undiscounted sum of rewards, [...]."""
    sums = tf.reduce_sum(trajectories.rewards * trajectories.mask, axis=-1)
    return tf.reduce_mean(sums, axis=-1)


def mean_over_steps(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean [...] of values [..., N, H] over the steps that the mask keeps; 0 where none is."""
    total = tf.reduce_sum(values * mask, axis=[-2, -1])
    return tf.math.divide_no_nan(total, tf.reduce_sum(mask, axis=[-2, -1]))
