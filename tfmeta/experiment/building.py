"""From settings to live objects: strategy, learner, streams of tasks."""

import inspect
import json
import os

import keras
import tensorflow as tf

from tfmeta.recipe import RecipeError, explained
from tfmeta.settings import Settings


def make_strategy(name: str | None) -> tf.distribute.Strategy:
    """The distribution of a run; see `RunSettings.strategy`.

    Raises:
        RecipeError: if "multi_worker" is asked for without TF_CONFIG.
    """
    if name == "multi_worker" or (name is None and "TF_CONFIG" in os.environ):
        if "cluster" not in json.loads(os.environ.get("TF_CONFIG", "{}")):
            raise RecipeError(
                "run.strategy = 'multi_worker' needs TF_CONFIG with a cluster. Received: none. "
                "Set TF_CONFIG for each worker, as TensorFlow's guide to distribution shows."
            )
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


def build_learner(settings: Settings, strategy, jit_compile: bool = False):
    """Builds and compiles a recipe's learner, its weights drawn from `train.seed`.

    Raises:
        RecipeError: if something in the recipe can't be built.
    """
    train = settings.train
    keras.utils.set_random_seed(train.seed)
    with strategy.scope(), explained(f"recipe {settings.recipe}"):
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


def train_stream(settings: Settings, start: int = 0):
    """The endless stream of training tasks, from task `start`."""
    with explained(f"recipe {settings.recipe}"):
        return settings.train.stream(split="train", seed=settings.train.seed, start=start)


def held_out_stream(settings: Settings, split: str, seed: int, shots: int | None = None):
    """The endless stream of held-out tasks of a split."""
    stream = settings.evaluate.stream or settings.train.stream
    options = {} if shots is None else {"shots": shots}
    with explained(f"recipe {settings.recipe}"):
        return stream(split=split, seed=seed, **options)


def choose_jit_compile(settings: Settings, strategy, make_training) -> tuple[bool, str]:
    """Whether XLA compiles the meta-gradient, and why; chosen once in the life of a run.

    Args:
        settings: the recipe's.
        strategy: of the run.
        make_training: callable from `jit_compile` to a built `Training`.
    """
    if settings.run.jit_compile is not None:
        return settings.run.jit_compile, "run.jit_compile says so"
    if not tf.config.list_logical_devices("GPU"):
        return False, "TensorFlow's executor is faster on a CPU"
    if strategy.num_replicas_in_sync > 1:
        return False, "several devices"
    seconds = {}
    for jit_compile in (False, True):
        try:
            training = make_training(jit_compile)
            seconds[jit_compile] = training.seconds_per_step(train_stream(settings))
        except tf.errors.OpError as error:
            if not jit_compile:
                raise
            return False, f"XLA refuses: {error.message.splitlines()[0][:200]}"
    words = f"{1e3 * seconds[True]:.2f} ms with XLA, {1e3 * seconds[False]:.2f} ms without"
    return seconds[True] < seconds[False], words
