"""Half-cheetah and ant that are to run in a direction or at a velocity (Finn et al. 2017, 5.3).

Rewards are those of the authors' code (cbfinn/maml_rl, `rllab/envs/mujoco`): the velocity along x
times the direction, or minus its distance from the goal, with costs of control and contact and the
ant's bonus for living. Bodies, observations and starts are gymnasium's (`HalfCheetah-v5`,
`Ant-v5`); docs/explanations/reinforcement_learning.md lists what differs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfmeta.rl.configuration import SavedFields
from tfmeta.rl.gymnasium_environment import GymnasiumEnvironment, check_installed
from tfmeta.tasks.draws import uniform


@dataclasses.dataclass(frozen=True)
class _Locomotion(SavedFields, GymnasiumEnvironment):
    horizon: int = 200
    processes: int | None = None

    task_size = 1


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class HalfCheetahDirection(_Locomotion):
    """A half-cheetah that is to run forward or backward: two tasks, 1 and -1.

    Attributes:
        horizon: most steps of a trajectory, of 0.05 s each.
        processes: that simulate; None: one for each core.
    """

    name = "half_cheetah_direction"

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Directions float32 [T, 1], each as likely."""
        return _directions(bits)

    def maker(self) -> Callable[[], Any]:
        """Makes a half-cheetah that is rewarded for its velocity in a direction."""
        bodies = _bodies()
        return functools.partial(bodies.half_cheetah, bodies.along)


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class HalfCheetahVelocity(_Locomotion):
    """A half-cheetah that is to run at a velocity.

    Attributes:
        horizon: most steps of a trajectory, of 0.05 s each.
        processes: that simulate; None: one for each core.
        highest: goals are uniform in [0, highest], in metres a second.
    """

    highest: float = 2.0

    name = "half_cheetah_velocity"

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Velocities float32 [T, 1]."""
        return uniform(bits, 0.0, self.highest)

    def maker(self) -> Callable[[], Any]:
        """Makes a half-cheetah that is rewarded for being near a velocity."""
        bodies = _bodies()
        return functools.partial(bodies.half_cheetah, bodies.near)


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class AntDirection(_Locomotion):
    """An ant that is to run forward or backward: two tasks, 1 and -1.

    Attributes:
        horizon: most steps of a trajectory, of 0.05 s each; it ends where the ant falls or jumps.
        processes: that simulate; None: one for each core.
    """

    name = "ant_direction"

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Directions float32 [T, 1], each as likely."""
        return _directions(bits)

    def maker(self) -> Callable[[], Any]:
        """Makes an ant that is rewarded for its velocity in a direction."""
        bodies = _bodies()
        return functools.partial(bodies.ant, bodies.along)


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class AntVelocity(_Locomotion):
    """An ant that is to run at a velocity.

    Attributes:
        horizon: most steps of a trajectory, of 0.05 s each; it ends where the ant falls or jumps.
        processes: that simulate; None: one for each core.
        highest: goals are uniform in [0, highest], in metres a second.
        bonus: the authors' for each step, without which a short life would be the best.
    """

    highest: float = 3.0
    bonus: float = 1.0

    name = "ant_velocity"

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Velocities float32 [T, 1]."""
        return uniform(bits, 0.0, self.highest)

    def maker(self) -> Callable[[], Any]:
        """Makes an ant that is rewarded for being near a velocity."""
        bodies = _bodies()
        return functools.partial(bodies.ant, bodies.near, self.bonus)


def _directions(bits):
    return tf.where(uniform(bits, -1.0, 1.0) < 0.0, -1.0, 1.0)


def _bodies():
    check_installed("gymnasium", "mujoco")
    from tfmeta.rl import mujoco_tasks

    return mujoco_tasks
