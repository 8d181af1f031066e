"""2D navigation as a batched TensorFlow program: a point that is to find its task's goal.

Finn et al. 2017, section 5.3, and its authors' code: the point starts at the origin and moves by at
most 0.1 along each axis a step; the reward is minus the distance to the goal, which is drawn from
a square; a trajectory ends within 0.01 of the goal or at the horizon.
"""

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf

from tfmeta.rl.configuration import SavedFields
from tfmeta.tasks.draws import uniform


class PointState(NamedTuple):
    """Where points are and where they should be, both [T, N, 2]."""

    position: tf.Tensor
    goal: tf.Tensor


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class Navigation(SavedFields):
    """Points in a plane; a task is a goal, which the policy does not see (`Environment`).

    Attributes:
        horizon: most steps of a trajectory.
        goal_range: goals are uniform in [-goal_range, goal_range]^2.
        speed: the longest move along an axis in a step; an action of 1.
        goal_radius: a trajectory ends this near its goal.
    """

    horizon: int = 100
    goal_range: float = 0.5
    speed: float = 0.1
    goal_radius: float = 0.01

    name = "navigation"
    observation_size = 2
    action_size = 2
    task_size = 2

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Goals float32 [T, 2]."""
        return uniform(bits, -self.goal_range, self.goal_range)

    def start(self, parameters: tf.Tensor, keys: tf.Tensor) -> PointState:
        """All points at the origin; nothing is random."""
        return PointState(tf.zeros_like(parameters), parameters)

    def observe(self, state: PointState) -> tf.Tensor:
        """The position [T, N, 2]."""
        return state.position

    def step(
        self, state: PointState, actions: tf.Tensor
    ) -> tuple[PointState, tf.Tensor, tf.Tensor]:
        """Moves each point; the reward is minus the new distance to its goal."""
        move = self.speed * tf.clip_by_value(actions, -1.0, 1.0)
        state = PointState(state.position + move, state.goal)
        distance = tf.norm(state.position - state.goal, axis=-1)
        return state, -distance, distance < self.goal_radius


def best_return(goals: tf.Tensor, environment: Navigation) -> tf.Tensor:
    """The highest return that any motion has, for goals [..., 2]: [...].

    Each axis moves towards the goal at full speed. No motion is nearer at any step, since axes
    are limited apart; the last step ends on the goal.
    """
    steps = tf.range(1, environment.horizon + 1, dtype=goals.dtype)
    left = tf.maximum(tf.abs(goals)[..., None] - environment.speed * steps, 0.0)
    return -tf.reduce_sum(tf.norm(left, axis=-2), axis=-1)
