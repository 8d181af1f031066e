"""What a family of environments must offer, and the stream of its tasks."""

from typing import Any, Protocol

import tensorflow as tf

from tfmeta.tasks.draws import draw_key, random_bits
from tfmeta.tasks.stream import TaskStream, check_choice, check_whole_number

SPLITS = ("train", "validation", "test")
_KEY_WORDS = 2


class Environment(Protocol):
    """Environments that differ in a task parameter, T tasks with N trajectories each at once.

    Its functions are called within a compiled step; one that leaves TensorFlow does so by
    `tf.numpy_function`, and hands a state on, so that steps keep their order.

    Attributes:
        name: "navigation", ...
        observation_size: o.
        action_size: a. A policy's actions are in units of the environment's: -1 to 1 is its
            range, and beyond that they are clipped.
        task_size: p, numbers in a task's parameter.
        horizon: H, most steps of a trajectory.
    """

    name: str
    observation_size: int
    action_size: int
    task_size: int
    horizon: int

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Task parameters float32 [T, p] from random words int32 [T, p]."""

    def start(self, parameters: tf.Tensor, keys: tf.Tensor) -> Any:
        """The first state, a structure of tensors.

        Args:
            parameters: [T, N, p].
            keys: int32 [T, 2], for what is random in a start.
        """

    def observe(self, state: Any) -> tf.Tensor:
        """What a policy sees of a state, [T, N, o]."""

    def step(self, state: Any, actions: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """The next state, rewards [T, N], and which trajectories ended, bool [T, N]."""


def environment_tasks(
    environment: Environment,
    split: str = "train",
    shots: int = 20,
    seed: int = 0,
    count: int | None = None,
    start: int = 0,
) -> TaskStream:
    """A stream of tasks of a family of environments.

    Example:
        >>> from tfmeta import rl
        >>> stream = rl.environment_tasks(rl.Navigation(), "test", shots=20, seed=1)
        >>> goals, keys = next(iter(stream.batch(4)))
        >>> goals.shape, keys.shape
        (TensorShape([4, 20, 2]), TensorShape([4, 2]))

    Args:
        environment: the family.
        split: "train", "validation" or "test": other tasks of the same distribution.
        shots: N, trajectories drawn for an update and after it (the paper's K).
        seed: task i is a function of (seed, split, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.

    Returns:
        A `TaskStream` of `(parameters float32 [N, p], key int32 [2])`: the task's parameter for
        each of its trajectories, and what seeds them.

    Raises:
        ValueError: for an unknown split or an impossible number.
    """
    check_whole_number("shots", shots, 1)
    check_choice("split", split, SPLITS)
    of_tasks = draw_key(seed, environment.name, split, "tasks")
    of_keys = draw_key(seed, environment.name, split, "trajectories")

    def sample_block(first, tasks):
        parameters = environment.tasks(random_bits(of_tasks, first, tasks, environment.task_size))
        repeated = tf.repeat(parameters[:, None], shots, axis=1)
        repeated = tf.ensure_shape(repeated, [None, shots, environment.task_size])
        return repeated, random_bits(of_keys, first, tasks, _KEY_WORDS)

    info = {
        "name": environment.name,
        "kind": "reinforcement learning",
        "split": split,
        "shots": shots,
        "queries": shots,
        "seed": seed,
        "horizon": environment.horizon,
        "data_sha256": None,
    }
    return TaskStream(sample_block, info, start, count)
