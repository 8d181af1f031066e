"""The oracle of the paper's comparisons: an environment whose policy sees its task's parameter."""

import dataclasses
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfmeta.rl.configuration import SavedFields
from tfmeta.rl.environment import Environment


class StateInView(NamedTuple):
    """A state of the environment inside, and the parameters of its tasks [T, N, p]."""

    inside: Any
    parameters: tf.Tensor


@keras.saving.register_keras_serializable("tfmeta")
@dataclasses.dataclass(frozen=True)
class TaskInView(SavedFields):
    """An environment with its task's parameter appended to each observation (`Environment`).

    Example:
        >>> from tfmeta import rl
        >>> rl.TaskInView(rl.Navigation()).observation_size
        4

    Attributes:
        environment: the one inside, whose name, tasks and rewards it has.
    """

    environment: Environment

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return self.environment.name

    @property
    def horizon(self) -> int:
        """Of the environment inside."""
        return self.environment.horizon

    @property
    def task_size(self) -> int:
        """p."""
        return self.environment.task_size

    @property
    def observation_size(self) -> int:
        """o + p."""
        return self.environment.observation_size + self.environment.task_size

    @property
    def action_size(self) -> int:
        """a."""
        return self.environment.action_size

    def tasks(self, bits: tf.Tensor) -> tf.Tensor:
        """Those of the environment inside."""
        return self.environment.tasks(bits)

    def start(self, parameters: tf.Tensor, keys: tf.Tensor) -> StateInView:
        """The start of the environment inside."""
        return StateInView(self.environment.start(parameters, keys), parameters)

    def observe(self, state: StateInView) -> tf.Tensor:
        """What the environment inside shows, and the parameter: [T, N, o + p]."""
        seen = tf.cast(self.environment.observe(state.inside), state.parameters.dtype)
        return tf.concat([seen, state.parameters], axis=-1)

    def step(
        self, state: StateInView, actions: tf.Tensor
    ) -> tuple[StateInView, tf.Tensor, tf.Tensor]:
        """A step of the environment inside."""
        inside, rewards, ended = self.environment.step(state.inside, actions)
        return StateInView(inside, state.parameters), rewards, ended
