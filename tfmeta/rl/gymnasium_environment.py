"""Environments of gymnasium with a task parameter, simulated in processes beside TensorFlow.

A compiled step leaves TensorFlow for each step of all trajectories together (`tf.numpy_function`);
policy, noise and everything else stay inside. What a trajectory is depends on its task's parameter
and key, its number and the actions alone: the number of processes changes no bit.
"""

import functools
import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfmeta.rl.simulation_pool import SimulationPool


class SimulationState(NamedTuple):
    """What TensorFlow knows of the simulations.

    Attributes:
        observations: float64 [T, N, o].
        turn: int64 [], the number of the call that gave them: hands the order of calls on, and
            tells a step of another draw of trajectories.
    """

    observations: tf.Tensor
    turn: tf.Tensor


class GymnasiumEnvironment:
    """Base of environments whose trajectories gymnasium simulates (`Environment`).

    A subclass names the family, draws its tasks, and says how one environment is made. That one is
    told its task by `reset(seed=..., options={"task": parameter})`, a float array [p], and its
    trajectory must be a function of seed, parameter and actions. Spaces are boxes.

    Example:
        >>> import gymnasium
        >>> from tfmeta import rl
        >>> from tfmeta.tasks.draws import uniform
        >>> class Gravity(gymnasium.Wrapper):
        ...     def reset(self, *, seed=None, options=None):
        ...         (self.unwrapped.g,) = options["task"]
        ...         return self.env.reset(seed=seed)
        >>> class Pendulums(rl.GymnasiumEnvironment):
        ...     name, task_size, horizon = "pendulums", 1, 50
        ...     def tasks(self, bits):
        ...         return uniform(bits, 5.0, 15.0)
        ...     def maker(self):
        ...         return lambda: Gravity(gymnasium.make("Pendulum-v1"))
        >>> Pendulums().observation_size, Pendulums().action_size
        (3, 1)

    Attributes:
        name: of the family.
        task_size: p, numbers in a task's parameter.
        horizon: H, most steps of a trajectory.
        processes: that simulate; None: one for each core.

    Raises:
        ImportError: without gymnasium.
        ValueError: if spaces are no boxes, or actions have no bounds.
    """

    name: str
    task_size: int
    horizon: int
    processes: int | None = None

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Task parameters float32 [T, p] from random words int32 [T, p]."""
        raise NotImplementedError(f"{type(self).__name__} must define tasks.")

    def maker(self) -> Callable[[], Any]:
        """A function of nothing to one `gymnasium.Env`, which is sent to each process.

        Its module is imported there; one that leaves TensorFlow alone keeps processes small.
        """
        raise NotImplementedError(f"{type(self).__name__} must define maker.")

    @property
    def observation_size(self) -> int:
        """o."""
        return self._sizes[0]

    @property
    def action_size(self) -> int:
        """a."""
        return self._sizes[1]

    @functools.cached_property
    def _sizes(self) -> tuple[int, int]:
        check_installed("gymnasium")
        from gymnasium.spaces import Box

        environment = self.maker()()
        spaces = environment.observation_space, environment.action_space
        environment.close()
        for space in spaces:
            if not isinstance(space, Box) or len(space.shape) != 1:
                raise ValueError(
                    "Observations and actions of an environment must be vectors, Box(n,). "
                    f"Received: {space} in {self.name!r}. Wrap it, for instance by gymnasium's "
                    "FlattenObservation."
                )
        if not np.isfinite([spaces[1].low, spaces[1].high]).all():
            raise ValueError(
                "Actions must have bounds, which a policy's -1 and 1 stand for. Received: "
                f"{spaces[1]} in {self.name!r}. Wrap it by gymnasium's RescaleAction."
            )
        return spaces[0].shape[0], spaces[1].shape[0]

    def start(self, parameters: tf.Tensor, keys: tf.Tensor) -> SimulationState:
        """Resets an environment for each trajectory, by a seed from its task's key."""
        observations, turn = tf.numpy_function(
            self._start, [parameters, keys], [tf.float64, tf.int64]
        )
        return self._state(observations, turn, parameters.shape[:2])

    def observe(self, state: SimulationState) -> tf.Tensor:
        """What the environments gave, float64 [T, N, o]."""
        return state.observations

    def step(
        self, state: SimulationState, actions: tf.Tensor
    ) -> tuple[SimulationState, tf.Tensor, tf.Tensor]:
        """Steps every trajectory that lasts; one that has ended gets rewards of 0."""
        observations, turn, rewards, ended = tf.numpy_function(
            self._step, [state.turn, actions], [tf.float64, tf.int64, tf.float64, tf.bool]
        )
        shape = actions.shape[:2]
        return (
            self._state(observations, turn, shape),
            tf.ensure_shape(rewards, shape),
            tf.ensure_shape(ended, shape),
        )

    def _state(self, observations, turn, shape):
        observations = tf.ensure_shape(observations, [*shape, self.observation_size])
        return SimulationState(observations, tf.ensure_shape(turn, []))

    @functools.cached_property
    def _simulations(self) -> "_PoolInTurns":
        return _PoolInTurns(self.maker(), self.processes or os.cpu_count() or 1)

    def _start(self, parameters, keys):
        count = parameters.shape[1]
        flat = parameters.reshape(-1, parameters.shape[-1])
        observations, turn = self._simulations.start(flat, _seeds(keys, count))
        return observations.reshape(*parameters.shape[:2], -1), turn

    def _step(self, turn, actions):
        shape = actions.shape[:2]
        flat = actions.reshape(-1, actions.shape[-1])
        (observations, rewards, ended), turn = self._simulations.step(turn, flat)
        return observations.reshape(*shape, -1), turn, rewards.reshape(shape), ended.reshape(shape)


class _PoolInTurns:
    """A pool that answers calls in turn, and refuses a step of trajectories that are no more."""

    def __init__(self, make, processes):
        self._pool = SimulationPool(make, processes)
        self._turn = 0
        self._lock = threading.Lock()

    def start(self, parameters, seeds):
        with self._lock:
            return self._pool.start(parameters, seeds), self._next()

    def step(self, turn, actions):
        with self._lock:
            if turn != self._turn:
                raise RuntimeError(
                    "Trajectories of one environment must be drawn one batch after another. "
                    "Received: a step of a batch after another one began. Draw them in one "
                    "replica a process (run.strategy = 'one_device')."
                )
            return self._pool.step(actions), self._next()

    def _next(self):
        self._turn += 1
        return np.int64(self._turn)


def _seeds(keys: np.ndarray, count: int) -> list[int]:
    """For each of `count` trajectories of each task a seed, from the task's key int32 [T, 2]."""
    words = keys.astype(np.uint32).tolist()
    return [
        int(np.random.SeedSequence([*key, number]).generate_state(1, np.uint64)[0])
        for key in words
        for number in range(count)
    ]


def check_installed(*packages: str) -> None:
    """Raises an ImportError that names the extra unless packages are there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            "Environments of gymnasium need the extra [rl]. Received: no package "
            f"{' and '.join(missing)}. Install it: pip install 'tfmeta[rl]'."
        )
