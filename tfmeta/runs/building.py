"""From settings to live objects: strategy, learner, streams of tasks."""

import contextlib
import inspect
import logging
import os
import warnings
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfmeta.runs.distributed.cluster import MULTI_WORKER
from tfmeta.runs.recipe import RecipeError, RunError, explained
from tfmeta.runs.recipe.settings import Settings
from tfmeta.runs.training import Training
from tfmeta.tasks import TaskStream

_logger = logging.getLogger("tfmeta")


def make_strategy(name: str | None) -> tf.distribute.Strategy:
    """The distribution of a run; see `RunSettings.strategy`.

    For "multi_worker" it is made before anything else of TensorFlow, and waits for the others.
    """
    if name == MULTI_WORKER:
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name is None and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def set_determinism(wanted: bool | None) -> bool:
    """Turns on deterministic operations where wanted; None: on a CPU. Returns whether they are."""
    deterministic = not tf.config.list_physical_devices("GPU") if wanted is None else wanted
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return deterministic


def set_threads(intra_op: int | None) -> None:
    """Sets the threads of an operation, unless the environment does or TensorFlow runs already."""
    if intra_op is None or os.environ.get("TF_NUM_INTRAOP_THREADS"):
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    except RuntimeError:
        _logger.warning(
            "run.intra_op_threads = %d is not in force: TensorFlow has computed in this process, "
            "and its threads stay as they are",
            intra_op,
        )


def build_learner(settings: Settings, strategy, jit_compile: bool = False):
    """Builds and compiles a recipe's learner, its weights drawn from `train.seed`.

    Raises:
        RecipeError: if something in the recipe can't be built.
    """
    train = settings.train
    keras.utils.set_random_seed(train.seed)
    with (
        strategy.scope(),
        explained(f"recipe {settings.recipe}"),
        warnings.catch_warnings(),
    ):
        # Of Keras' own loops, which a run doesn't use: they take no XLA under op determinism.
        warnings.filterwarnings("ignore", message="Model doesn't support `jit_compile=True`")
        learner = train.learner()
        learner.compile(
            optimizer=train.optimizer(),
            loss=_made(train.loss),
            metrics=[_made(metric) for metric in train.metrics],
            jit_compile=jit_compile,
        )
    return learner


def _made(value):
    """A Keras object from its name, or from the class that a recipe refers to."""
    if inspect.isroutine(value) and not isinstance(value, keras.losses.Loss):
        return value()
    return value


def build_training(
    settings: Settings, strategy, jit_compile: bool, parallel: str | None = None
) -> Training:
    """Builds a recipe's compiled loop of meta-steps.

    Args:
        settings: the recipe's.
        strategy: of the run.
        jit_compile: whether XLA compiles the meta-gradient.
        parallel: of the meta-gradient, in place of the learner's own.

    Raises:
        RecipeError: if something in the recipe can't be built.
    """
    learner = build_learner(settings, strategy, jit_compile)
    stream = train_stream(settings)
    with explained(f"recipe {settings.recipe}"):
        tasks = settings.train.tasks_per_step
        training = Training(learner, strategy, tasks, jit_compile, parallel)
        training.build(stream)
    return training


def train_stream(settings: Settings, start: int = 0):
    """The endless stream of training tasks, from task `start`."""
    return _stream(
        settings, settings.train.stream, split="train", seed=settings.train.seed, start=start
    )


def first_shots(settings: Settings) -> int | None:
    """The support size of the result, where a recipe evaluates several."""
    return (settings.evaluate.shots or (None,))[0]


def held_out_stream(
    settings: Settings,
    split: str,
    seed: int,
    shots: int | None = None,
    queries: int | None = None,
    ways: int | None = None,
):
    """The endless stream of held-out tasks of a split; None: sizes as in the recipe."""
    stream = settings.evaluate.stream or settings.train.stream
    sizes = {"shots": shots, "queries": queries, "ways": ways}
    options = {name: size for name, size in sizes.items() if size is not None}
    return _stream(settings, stream, split=split, seed=seed, **options)


def _stream(settings: Settings, make, **options):
    """A stream of a recipe, made once: to trace its drawing takes a third of a small run's start.

    A second call gives the same object. That changes no task: a stream has no state.
    """
    key = (make, *options.items())
    if key not in settings.streams:
        with explained(f"recipe {settings.recipe}"):
            stream = make(**options)
            _check_stream(stream)
        settings.streams[key] = stream
    return settings.streams[key]


def _check_stream(stream) -> None:
    if not isinstance(stream, TaskStream):
        raise RecipeError(
            "A recipe's stream must be a function that returns a tfmeta.tasks.TaskStream, whose "
            "task i depends on the seed and on i alone: a run then goes on where it stopped. "
            f"Received: {type(stream).__name__}. Return TaskStream(sample_block, info, start, "
            "count), as docs/guides/own_tasks.md shows."
        )


_ADVICE = (
    (
        tf.errors.ResourceExhaustedError,
        "Computing needs memory for all tasks of a pass",
        "Set tasks_per_pass of the learner to a divisor of train.tasks_per_step, or rematerialize.",
    ),
    (
        tf.errors.UnimplementedError,
        "Every operation needs a kernel on its device",
        "If it is the deterministic one that is missing, set run.deterministic = False.",
    ),
    (
        tf.errors.InvalidArgumentError,
        "Tasks must be what the network and loss take",
        "Check that the task stream and the network have the same ways and image_shape.",
    ),
)


@contextlib.contextmanager
def operation_errors() -> Iterator[None]:
    """Turns a failing TensorFlow operation into words.

    Raises:
        RecipeError: the rule, what TensorFlow said, and what to do.
        RunError: what Python said that a step calls, such as an environment's simulation.
    """
    try:
        yield
    except tf.errors.UnknownError as error:
        raise RunError(_said(error)) from error
    except tuple(kind for kind, _, _ in _ADVICE) as error:
        rule, advice = next((r, a) for kind, r, a in _ADVICE if isinstance(error, kind))
        raise RecipeError(f"{rule}. Received: {_said(error)} {advice}") from error


def _said(error: tf.errors.OpError) -> str:
    """What the operation said, without the stack of calls and the names of nodes around it."""
    noise = ("Graph execution error", "Detected at", "File ", "[[", "Stack trace", "(")
    # Python's own traceback, in which the message comes once more.
    message = (error.message or "").split("\nTraceback (most recent call last):\n\n")[0]
    lines = (line.strip() for line in message.splitlines())
    text = " ".join(line for line in lines if line and not line.startswith(noise))
    return text.split(" [Op:")[0].replace("assertion failed: ", "")
