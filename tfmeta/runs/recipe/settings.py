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
    """What is trained, on what, for how long. All of it makes the weights.

    Attributes:
        learner: callable without arguments, gives the learner.
        stream: callable `(split=, seed=, start=)`, gives a stream of tasks.
        optimizer: callable without arguments, gives the outer Keras optimizer.
        steps: number of meta-steps.
        tasks_per_step: tasks per meta-step, over all devices together.
        loss: callable without arguments, gives the Keras loss; or its name. None for a learner
            that takes none: a policy's is its environment's.
        seed: of the initialisation and of the tasks.
        metrics: of Keras, by name or as callables.
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
    """How it is computed.

    Attributes:
        deterministic: operations with the same result on every run; None: on for a CPU, off for a
            GPU (where some operations have no deterministic kernel, and TensorFlow names them).
        jit_compile: XLA for the meta-gradient; None: chosen once before step 1 and kept in
            run.json, like a learner's `parallel="auto"`: a run that is long enough times the
            executions. They differ by rounding: set both where two runs must have the same bits.
        intra_op_threads: threads of one operation; None: TensorFlow's choice, all cores. One is
            faster where operations are small: they then run side by side instead.
            TF_NUM_INTRAOP_THREADS in the environment comes first.
        strategy: None (one device, or all GPUs of this machine where there are several),
            "mirrored", "one_device", or "multi_worker" (several processes, each with the
            environment variable TF_CONFIG).
        callbacks: callables without arguments that give Keras callbacks, called with the learner
            as their model. An epoch is `log.checkpoint_every` steps; logs are the columns of
            metrics.csv. A callback that sets `stop_training` ends the training.
    """

    deterministic: bool | None = None
    jit_compile: bool | None = None
    intra_op_threads: int | None = None
    strategy: str | None = None
    callbacks: Sequence[Callable[[], Any]] = ()


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """The protocol of the result.

    Attributes:
        tasks: number of held-out tasks.
        stream: as `train.stream`; None: the same.
        split: "test", "validation" or "train".
        seed: of the evaluation's tasks, the same for every `train.seed`.
        checkpoint: "last" or "best" (by validation).
        ensemble: how many of the best checkpoints answer together, by the mean of their outputs
            (`log.keep_best` of them are kept); 1: `checkpoint` alone.
        inner_steps: steps of adaptation; None: the learner's `test_inner_steps`.
        normalizations: modes to evaluate, the recipe's own first.
        tasks_per_batch: tasks computed at once.
        shots: the support sizes to evaluate, the result's first; None: the stream's own.
        calibration: whether likelihood and calibration are measured too; None: where the learner
            samples weights.
        outliers: whether it is measured how well queries of no class of their task are told from
            the others (`tfmeta.evaluation.measure_outliers`); an export then has the score and
            its threshold.
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
    """Held-out tasks looked at during training; they choose the "best" checkpoint.

    Attributes:
        every: meta-steps between validations; 0: none.
        tasks: number of tasks.
        split: of the evaluation's stream.
        seed: of the tasks.
    """

    every: int = 0
    tasks: int = 100
    split: str = "validation"
    seed: int = 2_000_003


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """What is written down on the way.

    Attributes:
        every: meta-steps to a row of metrics.csv.
        checkpoint_every: meta-steps to a checkpoint.
        keep: number of last checkpoints that stay (the best stays too).
        keep_best: number of best checkpoints, by validation, that stay.
        tensorboard: whether TensorBoard events are written.
    """

    every: int = 100
    checkpoint_every: int = 1000
    keep: int = 3
    keep_best: int = 1
    tensorboard: bool = True


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The SavedModel at the end of a run.

    Attributes:
        enabled: whether `train` exports at its end.
        normalization: None: as trained.
        max_ways: most classes of a request, of a learner that allows any number; None: the
            network's outputs.
        max_support: most support examples of a request; None: the exporter's default.
        max_query: most query examples of a request; None: the exporter's default.
        max_tasks: most tasks of a request; None: the exporter's default.
        max_inner_steps: most inner steps of a request; None: the exporter's default.
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
