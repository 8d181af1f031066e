"""What a recipe settles, as plain values: `train`, `run`, `evaluate`, `validate`, `log`, `export`.

Each class is the configurable of that name in gin. A callable is called by the run at the right
moment (under the seed and the distribution strategy), so recipes write `@MAML`, not `@MAML()`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tfmeta.inner.normalization import MODES
from tfmeta.tasks.splits import SPLITS

CHECKPOINTS = ("last", "best")
STRATEGIES = (None, "one_device", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """The bindings `train.*`: what a run trains. They decide the weights.

    Attributes:
        learner: the learner, such as `@MAML`; called without arguments.
        stream: the tasks, such as `@sinusoid`; called with `split`, `seed` and `start`, and
            returns a `tfmeta.tasks.TaskStream`.
        optimizer: the outer Keras optimizer, such as `@Adam`; called without arguments.
        steps: number of meta-steps.
        tasks_per_step: number of tasks in a meta-step, over all devices together.
        loss: the Keras loss, such as `@MeanSquaredError`, or its name. None for a learner without
            a loss of its own, such as a policy, whose environment gives rewards.
        seed: seed of the initialisation and of the training tasks.
        metrics: Keras metrics, by name or as callables.
    """

    learner: Callable[[], Any]
    stream: Callable[..., Any]
    optimizer: Callable[[], Any]
    steps: int
    tasks_per_step: int
    loss: Callable[[], Any] | str | None = None
    seed: int = 0
    metrics: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The bindings `run.*`: how a run computes.

    Attributes:
        deterministic: whether operations give the same bits in every run. None: on for a CPU, off
            for a GPU, where some operations have no deterministic kernel.
        jit_compile: whether XLA compiles the meta-gradient. None: a run that is long enough times
            the executions before step 1, and run.json keeps the choice, as for a learner's
            `parallel="auto"`. Executions differ by rounding: set both where two runs must have
            the same bits.
        intra_op_threads: threads of one operation. None: TensorFlow's choice, all cores. 1 is
            faster where operations are small, since several then run at a time. The environment
            variable TF_NUM_INTRAOP_THREADS comes first.
        strategy: None (one device, or all GPUs of this machine if it has several), "mirrored",
            "one_device", or "multi_worker" (several processes, each with the environment variable
            TF_CONFIG).
        callbacks: Keras callbacks, such as `[@EarlyStopping]`; each is called without arguments
            and gets the learner as its model. An epoch is `log.checkpoint_every` steps. Its logs
            are the columns of metrics.csv. A callback that sets `stop_training` ends the training.
    """

    deterministic: bool | None = None
    jit_compile: bool | None = None
    intra_op_threads: int | None = None
    strategy: str | None = None
    callbacks: Sequence[Callable[[], Any]] = ()


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """The bindings `evaluate.*`: the protocol of the result.

    Attributes:
        tasks: number of held-out tasks.
        stream: the held-out tasks, as `train.stream`. None: the same stream.
        split: "test", "validation" or "train".
        seed: seed of the held-out tasks. It does not depend on `train.seed`.
        checkpoint: "last", or "best" on validation tasks.
        ensemble: number of the best checkpoints whose outputs are averaged, of the
            `log.keep_best` that are kept. 1: `checkpoint` alone.
        inner_steps: number of inner steps. None: the learner's `test_inner_steps`.
        normalizations: normalisation modes to evaluate. The first one is the recipe's own.
        tasks_per_batch: number of tasks computed at once.
        shots: support sizes to evaluate, such as `(5, 10)`. The first one gives the result. None:
            the stream's own size.
        calibration: whether to measure likelihood and calibration too. None: only for learners
            that sample weights.
        outliers: whether to measure how well queries of other classes are told from queries of
            the task's classes (`tfmeta.evaluation.measure_outliers`). An export then has the score
            and its threshold.
    """

    tasks: int = 600
    stream: Callable[..., Any] | None = None
    split: str = "test"
    seed: int = 1_000_003
    checkpoint: str = "last"
    ensemble: int = 1
    inner_steps: int | None = None
    normalizations: Sequence[str] = ("transductive", "inductive")
    tasks_per_batch: int = 25
    shots: Sequence[int] | None = None
    calibration: bool | None = None
    outliers: bool = False


@dataclasses.dataclass(frozen=True)
class ValidateSettings:
    """The bindings `validate.*`: held-out tasks during training; they choose the "best" checkpoint.

    Attributes:
        every: number of meta-steps between validations. 0: no validation.
        tasks: number of validation tasks.
        split: the split of `evaluate.stream` that they come from.
        seed: seed of the validation tasks.
    """

    every: int = 0
    tasks: int = 100
    split: str = "validation"
    seed: int = 2_000_003


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """The bindings `log.*`: what a run writes while it trains.

    Attributes:
        every: number of meta-steps between two rows of metrics.csv.
        checkpoint_every: number of meta-steps between two checkpoints.
        keep: number of latest checkpoints to keep, beside the best ones.
        keep_best: number of best checkpoints to keep, by validation.
        tensorboard: whether to write TensorBoard events.
    """

    every: int = 100
    checkpoint_every: int = 1000
    keep: int = 3
    keep_best: int = 1
    tensorboard: bool = True


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The bindings `export.*`: the SavedModel at the end of a run.

    Attributes:
        enabled: whether `tfmeta.train` exports at its end.
        normalization: normalisation mode of the export. None: as trained.
        max_ways: largest number of classes of a request, for a learner that answers any number.
            None: the network's outputs.
        max_support: largest number of support examples of a task. None: 1000.
        max_query: largest number of query examples of a task. None: 1000.
        max_tasks: largest number of tasks of a request. None: 1000.
        max_inner_steps: largest number of inner steps of a request. None: 1000.
    """

    enabled: bool = True
    normalization: str | None = None
    max_ways: int | None = None
    max_support: int | None = None
    max_query: int | None = None
    max_tasks: int | None = None
    max_inner_steps: int | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of a recipe.

    Attributes:
        recipe: the recipe's name.
        config: `gin.config_str()`.
        streams: of tasks made so far, by what they were asked for.
    """

    train: TrainSettings
    run: RunSettings
    evaluate: EvaluateSettings
    validate: ValidateSettings
    log: LogSettings
    export: ExportSettings
    recipe: str
    config: str
    streams: dict = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def check(self) -> None:
        """Refuses numbers and names that no run can have.

        Raises:
            ValueError: naming the binding.
        """
        for name, value, least in (
            ("train.steps", self.train.steps, 1),
            ("train.tasks_per_step", self.train.tasks_per_step, 1),
            ("evaluate.tasks", self.evaluate.tasks, 2),
            ("evaluate.tasks_per_batch", self.evaluate.tasks_per_batch, 1),
            ("validate.every", self.validate.every, 0),
            ("validate.tasks", self.validate.tasks, 2),
            ("log.every", self.log.every, 1),
            ("log.checkpoint_every", self.log.checkpoint_every, 1),
            ("log.keep", self.log.keep, 1),
            ("log.keep_best", self.log.keep_best, 1),
            ("evaluate.ensemble", self.evaluate.ensemble, 1),
            *_given("run.intra_op_threads", self.run.intra_op_threads, 1),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer >= {least}. Received: {value!r}.")
        for name, value, choices in (
            ("evaluate.checkpoint", self.evaluate.checkpoint, CHECKPOINTS),
            ("run.strategy", self.run.strategy, STRATEGIES),
        ):
            if value not in choices:
                options = ", ".join(map(repr, choices))
                raise ValueError(f"{name} must be one of {options}. Received: {value!r}.")
        if self.evaluate.checkpoint == "best" and not self.validate.every:
            raise ValueError(
                "evaluate.checkpoint = 'best' needs validation during training. Received: "
                "validate.every = 0. Set validate.every to a number of steps."
            )
        if self.evaluate.ensemble > 1 and (
            not self.validate.every or self.evaluate.ensemble > self.log.keep_best
        ):
            raise ValueError(
                "evaluate.ensemble needs as many best checkpoints. Received: evaluate.ensemble = "
                f"{self.evaluate.ensemble}, log.keep_best = {self.log.keep_best}, validate.every = "
                f"{self.validate.every}. Set validate.every and log.keep_best before training."
            )
        self._check_held_out()
        self._check_callbacks()
        for name in ("learner", "stream", "optimizer"):
            value = getattr(self.train, name)
            # A class has `get_config` too, and makes a learner when it is called.
            made = hasattr(value, "get_config") and not inspect.isclass(value)
            if not callable(value) or made:
                raise ValueError(
                    f"train.{name} must be written without calling it, such as @name. "
                    f"Received: {value!r}. Remove the () after the name."
                )

    def _check_callbacks(self) -> None:
        callbacks = self.run.callbacks
        if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
            raise ValueError(
                "run.callbacks must be a list of names without calling them, such as "
                f"[@EarlyStopping]. Received: {callbacks!r}. Remove the () after a name."
            )
        if callbacks and self.run.strategy == "multi_worker":
            raise ValueError(
                "run.callbacks are called in one process. Received: run.callbacks with "
                "run.strategy = 'multi_worker'. Leave one of them out."
            )

    def _check_held_out(self) -> None:
        """Refuses before training what would fail after it."""
        evaluate, export = self.evaluate, self.export
        for name, values in (
            ("evaluate.normalizations", evaluate.normalizations),
            ("export.normalization", (export.normalization or MODES[0],)),
            ("evaluate.split", (evaluate.split,)),
            ("validate.split", (self.validate.split,)),
        ):
            choices = SPLITS if name.endswith("split") else MODES
            if isinstance(values, str) or not values or not set(values) <= set(choices):
                raise ValueError(
                    f"{name} must be of {', '.join(map(repr, choices))}. Received: {values!r}."
                )
        shots, steps = evaluate.shots, evaluate.inner_steps
        if shots is not None and (not isinstance(shots, Sequence) or isinstance(shots, str)):
            raise ValueError(
                "evaluate.shots must be a list of support sizes, such as (5, 10). "
                f"Received: {shots!r}."
            )
        if steps is not None and (not isinstance(steps, int) or steps < 0):
            raise ValueError(
                f"evaluate.inner_steps must be an integer >= 0, or None. Received: {steps!r}."
            )
        seed = self.train.seed
        if not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(
                f"train.seed must be an integer from 0 to {2**31 - 1}. Received: {seed!r}."
            )


def _given(name, value, least):
    return () if value is None else ((name, value, least),)
