"""Trajectories of many tasks at once: one loop over time, batched over tasks and trajectories."""

import tensorflow as tf

from tfmeta.rl.gaussian_policy import gaussian
from tfmeta.rl.trajectories import Trajectories


def sample_trajectories(environment, policy, parameters, keys) -> Trajectories:
    """Lets a policy act in an environment until the horizon.

    Args:
        environment: `Environment`.
        policy: function of observations [T, N, o] to outputs [T, N, 2 a].
        parameters: of the tasks [T, N, p], in the policy's floating type.
        keys: int32 [T, 2]; the trajectories of a task are a function of its key and the policy.

    Returns:
        `Trajectories` [T, N, H, ...].

    Raises:
        ValueError: if the number of tasks or trajectories is not known while tracing.
    """
    if not parameters.shape.is_fully_defined():
        raise ValueError(
            "Sampling needs a known number of tasks and trajectories. Received: parameters of "
            f"shape {parameters.shape}. Batch the stream with drop_remainder=True."
        )
    tasks, count = parameters.shape[0], parameters.shape[1]
    dtype, horizon = parameters.dtype, environment.horizon
    noise = _noise(keys, [horizon, count, environment.action_size], dtype)
    width = environment.action_size
    sizes: tuple[list[int], ...] = ([environment.observation_size], [width], [], [], [2 * width])
    arrays = [
        tf.TensorArray(dtype, size=horizon, element_shape=[tasks, count, *size]) for size in sizes
    ]

    def body(time, state, alive, arrays):
        observations = tf.cast(environment.observe(state), dtype)
        outputs = policy(observations)
        mean, log_std = gaussian(outputs)
        actions = mean + tf.exp(log_std) * noise[:, time]
        state, rewards, ended = environment.step(state, actions)
        values = (observations, actions, tf.cast(rewards, dtype), alive, outputs)
        arrays = [array.write(time, v) for array, v in zip(arrays, values, strict=True)]
        return time + 1, state, alive * tf.cast(~ended, dtype), arrays

    start = environment.start(parameters, keys)
    alive = tf.ones_like(parameters[..., 0])
    *_, arrays = tf.while_loop(
        lambda time, *_: time < horizon, body, (tf.constant(0), start, alive, arrays)
    )
    return Trajectories(*(_time_after_trajectory(array.stack()) for array in arrays))


def _noise(keys, shape, dtype):
    """Standard normal numbers [T, *shape], each task's a function of its key."""
    return tf.map_fn(
        lambda key: tf.random.stateless_normal(shape, key, dtype=dtype),
        keys,
        fn_output_signature=tf.TensorSpec(shape, dtype),
    )


def _time_after_trajectory(stacked):
    """[H, T, N, ...] to [T, N, H, ...]."""
    rest = range(3, stacked.shape.rank)
    return tf.transpose(stacked, [1, 2, 0, *rest])
