"""What a run, the evaluation and the writer of SavedModels ask of a learner or a policy.

`MetaLearner` and `tfmeta.rl.PolicyMAML` keep these contracts without naming them. A learner of
your own keeps them by being a `MetaLearner`.
"""

import os
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf


@runtime_checkable
class Trainable(Protocol):
    """What a run asks: a meta-gradient of a batch, and the variables that a checkpoint holds.

    Attributes:
        network: the wrapped network.
        optimizer: Keras' optimizer, from `compile` on.
        parallel: "auto", "vectorized" or "sequential".
        chains_state: whether tasks of a batch pass state on, one to the next.
        parameter_variables: what the optimizer trains.
        state_variables: what meta-steps change without a derivative, or leave alone.
    """

    network: keras.Model
    optimizer: Any
    parallel: str

    @property
    def chains_state(self) -> bool: ...

    @property
    def parameter_variables(self) -> list: ...

    @property
    def state_variables(self) -> list: ...

    def execution_of(self, data: Any) -> str:
        """How the tasks of a batch, or of its `element_spec`, are computed."""
        ...

    def has_tiny_tasks(self, data: Any) -> bool:
        """Whether the tasks of a batch, or of its `element_spec`, are of few numbers."""
        ...

    def build_metrics(self, element_spec: Any) -> None:
        """Makes the metrics' variables for batches of this spec."""
        ...

    def compute_meta_gradient(
        self, data: Any, task_index: int | tf.Tensor = 0
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
        """Gradients, new state and logs of a batch, without side effects on variables."""
        ...

    def apply_meta_gradient(
        self, gradients: Sequence[tf.Tensor], state: Sequence[tf.Tensor]
    ) -> None:
        """Applies the gradients and assigns the state."""
        ...


@runtime_checkable
class Adapts(Protocol):
    """What the evaluation asks of a learner of examples: answers after each inner step.

    Attributes:
        normalization: mode in which queries are answered.
        test_inner_steps: number of inner steps outside training.
        loss: of query sets, as given to `compile`.
    """

    normalization: str
    test_inner_steps: int
    loss: Any

    def adaptation_curve(
        self,
        x: Any,
        inner_steps: int | None = None,
        normalization: str | None = None,
        sample_weight: Any = None,
        first_task: int = 0,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Query outputs [T, n + 1, Q, ...] and support losses [T, n + 1]."""
        ...


@runtime_checkable
class MeasuresTasks(Protocol):
    """What the evaluation asks where tasks are no examples with targets, as a policy's."""

    normalization: str
    test_inner_steps: int

    def task_metrics(
        self, data: Any, inner_steps: int | None = None, normalization: str | None = None
    ) -> dict[str, Any]:
        """Each task's metrics [T, n + 1] by their names."""
        ...


@runtime_checkable
class SamplesAnswers(Protocol):
    """What the calibration asks of a learner that samples, beside `Adapts`."""

    @property
    def noise(self) -> float:
        """Standard deviation of a regression's targets around an output."""
        ...

    def task_keys(
        self, first: int | tf.Tensor, count: int | tf.Tensor, purpose: str = ...
    ) -> tf.Tensor:
        """Keys [count, 2] of the tasks first, first + 1, ..."""
        ...

    def predictive(
        self,
        x: Any,
        samples: int | None = None,
        *,
        inner_steps: int | None = None,
        seed: Any = None,
    ) -> Any:
        """`Predictive`: samples [T, n, Q, ...], their mean and deviation [T, Q, ...]."""
        ...


@runtime_checkable
class Exportable(Protocol):
    """What writes a SavedModel asks: pure functions, variables, shapes and metadata."""

    def servable(self) -> Any:
        """A `tfmeta.saved_model.Servable` or `ServablePolicy`."""
        ...

    def export(
        self,
        export_dir: str | os.PathLike,
        version: int | None = None,
        *,
        normalization: str | None = None,
        preprocessing: Any = None,
    ) -> str:
        """Writes `export_dir/<version>/` and returns its path."""
        ...
