"""How much better an action was than expected: a linear baseline and generalised advantages.

The baseline is that of Duan et al. 2016 ("Benchmarking deep reinforcement learning for continuous
control"): least squares from features of observation and time to discounted returns, fitted to the
trajectories at hand. Advantages are those of Schulman et al. 2016 (GAE, equation 16).
"""

import tensorflow as tf

from tfmeta.rl.trajectories import Experience, Trajectories, mean_over_steps

OBSERVATION_LIMIT = 10.0  # features are of clipped observations
TIME_UNIT = 100.0  # steps
REGULARIZATION = 1e-5  # ridge, against features that are linearly dependent


def discounted_sums(values: tf.Tensor, discount: float) -> tf.Tensor:
    """sum over k >= 0 of discount^k values[t + k], for each t of [..., H]."""
    steps = tf.range(tf.shape(values)[-1])
    ahead = steps[:, None] - steps[None, :]  # [t', t]
    powers = tf.pow(
        tf.constant(discount, values.dtype), tf.cast(tf.maximum(ahead, 0), values.dtype)
    )
    weights = tf.where(ahead >= 0, powers, tf.zeros_like(powers))
    return tf.linalg.matvec(weights, values, transpose_a=True)


def baseline_features(observations: tf.Tensor) -> tf.Tensor:
    """[o, o^2, t, t^2, t^3, 1] of clipped observations o and times t, [..., N, H, 2 o + 4]."""
    clipped = tf.clip_by_value(observations, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)
    time = tf.cast(tf.range(tf.shape(observations)[-2]), observations.dtype) / TIME_UNIT
    of_time = tf.stack([time, time**2, time**3, tf.ones_like(time)], axis=-1)
    shape = tf.concat([tf.shape(observations)[:-1], [of_time.shape[-1]]], axis=0)
    return tf.concat([clipped, clipped**2, tf.broadcast_to(of_time, shape)], axis=-1)


def linear_baseline(trajectories: Trajectories, discount: float) -> tf.Tensor:
    """Predicts the discounted return from each step, after a fit to these same trajectories.

    Solved in float64 by the normal equations: the powers of time are nearly dependent.

    Args:
        trajectories: `Trajectories` [..., N, H, ...]; leading axes are fitted apart.
        discount: of rewards.

    Returns:
        [..., N, H], 0 after a trajectory's end.
    """
    mask = trajectories.mask
    targets = discounted_sums(trajectories.rewards * mask, discount)
    features = baseline_features(trajectories.observations)
    rows, sums = (tf.cast(value, tf.float64) for value in (features * mask[..., None], targets))
    gram = tf.einsum("...nhf,...nhg->...fg", rows, rows)
    moments = tf.einsum("...nhf,...nh->...f", rows, sums)
    ridge = REGULARIZATION * tf.eye(features.shape[-1], dtype=tf.float64)
    coefficients = tf.linalg.solve(gram + ridge, moments[..., None])[..., 0]
    return tf.cast(tf.einsum("...nhf,...f->...nh", rows, coefficients), mask.dtype)


def generalized_advantages(
    rewards: tf.Tensor, values: tf.Tensor, mask: tf.Tensor, discount: float, gae_lambda: float
) -> tf.Tensor:
    """sum over k of (discount gae_lambda)^k delta[t + k], delta the temporal-difference error.

    Args:
        rewards: [..., N, H].
        values: predictions of the discounted return [..., N, H]; after the last step it is 0.
        mask: [..., N, H].
        discount: of rewards.
        gae_lambda: 1: return minus baseline; 0: the temporal-difference error alone.
    """
    values = values * mask
    following = tf.concat([values[..., 1:], tf.zeros_like(values[..., :1])], axis=-1)
    errors = (rewards + discount * following - values) * mask
    return discounted_sums(errors, discount * gae_lambda) * mask


def with_advantages(
    trajectories: Trajectories, discount: float = 0.99, gae_lambda: float = 1.0
) -> Experience:
    """Trajectories with advantages of mean 0 and standard deviation 1 over a task's steps.

    Args:
        trajectories: `Trajectories` [..., N, H, ...].
        discount: of rewards.
        gae_lambda: of `generalized_advantages`.
    """
    mask = trajectories.mask
    values = linear_baseline(trajectories, discount)
    raw = generalized_advantages(trajectories.rewards, values, mask, discount, gae_lambda)
    centred = raw - mean_over_steps(raw, mask)[..., None, None]
    std = tf.sqrt(mean_over_steps(tf.square(centred), mask))[..., None, None]
    # Only rounding is left where every action was as good as expected.
    advantages = centred / (std + 1e-8) * mask
    return Experience(trajectories, tf.stop_gradient(advantages))
