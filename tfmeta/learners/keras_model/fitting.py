"""What is checked and made before Keras' loops over batches of tasks begin."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners import checks
from tfmeta.learners.batch import batch_checks
from tfmeta.learners.batch.batches import plain_batch, plain_data, texts_as_tensors
from tfmeta.learners.batch.class_weights import (
    ClassWeights,
    split_off_validation,
    with_class_weights,
)
from tfmeta.learners.batch.errors import in_words
from tfmeta.learners.keras_model import execution, keras_steps
from tfmeta.learners.keras_model.guards import (
    GuardedStep,
    assert_outside_xla,
    checked_task,
    with_assertions,
)
from tfmeta.tasks.task import Task


def before_fit(learner, x, y, options: dict) -> tuple[Any, Any, dict]:
    """Checks what `fit` gets, and returns (x, y, options) as Keras gets them.

    Args:
        learner: a `MetaLearner`.
        x: as of `fit`.
        y: as of `fit`.
        options: further arguments of `fit`.
    """
    steps = options.get("steps_per_epoch")
    batch_checks.check_ends(x, steps, "steps_per_epoch", "Fitting on")
    validation = options.get("validation_data")
    batch_checks.check_ends(
        _inputs_of(validation),
        options.get("validation_steps"),
        "validation_steps",
        "Validating on",
    )
    if isinstance(x, tf.data.Dataset):
        # A stream has its order; Keras warns that it would not shuffle it.
        options.setdefault("shuffle", False)
    share = options.get("validation_split")
    if share and not 0 <= share < 1:  # Keras would slice, and leave no task.
        raise ValueError(
            "validation_split must be a share of the tasks, 0 or more and below 1. Received: "
            f"validation_split={share!r}. Pass for instance 0.2."
        )
    x, y, options = _plain(x, y, options)
    validation = options.get("validation_data")
    prepare(learner, x, y, options.get("sample_weight"), trains=True)
    if options.get("class_weight") is not None:
        x, y, options = _with_class_weights(learner, x, y, options)
        validation = options.get("validation_data")
    if learner.jit_compile and isinstance(x, tf.data.Dataset):
        x = with_assertions(learner, x)
    if isinstance(validation, (tuple, list)):
        _check_arrays(learner, *keras.utils.unpack_x_y_sample_weight(validation))
    if options.get("verbose", "auto"):
        execution.advise(learner, x)
    return x, y, options


def before_evaluate(learner, x, y, steps, options: dict) -> tuple[Any, Any, dict]:
    """Checks what `evaluate` gets, starts its count of tasks, and returns what Keras gets.

    Args:
        learner: a `MetaLearner`.
        x: as of `evaluate`.
        y: as of `evaluate`.
        steps: number of batches, or None.
        options: further arguments of `evaluate`.
    """
    batch_checks.check_ends(x, steps, "steps", "Evaluating on")
    x, y, options = _plain(x, y, options)
    prepare(learner, x, y, options.get("sample_weight"))
    learner.evaluated_tasks.assign(0)
    return x, y, options


def before_predict(learner, x, steps, ways: int | None = None) -> Any:
    """Checks what `predict` gets, and returns x as Keras gets it.

    Args:
        learner: a `MetaLearner`.
        x: as of `predict`.
        steps: as of `predict`.
        ways: number of classes that labels tell apart; None: the network's outputs.
    """
    batch_checks.check_ends(x, steps, "steps", "Predicting on")
    x = texts_as_tensors(plain_data(x)[0])
    _check_arrays(learner, x, ways=ways)
    return x


def prepare(learner, x, y, sample_weight=None, *, trains: bool = False) -> None:
    """Checks a stream or arrays of tasks, and makes the metrics' variables for them.

    Args:
        learner: a `MetaLearner`.
        x: as of `fit`.
        y: as of `fit`.
        sample_weight: as of `fit`.
        trains: whether meta-steps follow, in which the layers' own state moves by the queries.
    """
    with learner.distribute_strategy.scope():
        if isinstance(x, tf.data.Dataset):
            checked_task(learner, x.element_spec, trains=True)
            learner.build_metrics(x.element_spec)
        else:
            _check_arrays(learner, x, y, sample_weight, trains=trains)
            if hasattr(y, "shape"):
                learner.build_metrics((x, y))


def checked_class_weights(learner, class_weight, sample_weight) -> ClassWeights:
    """The weights of queries by their classes.

    Raises:
        ValueError: where a learner can't honour them.
    """
    checks.check_compiled(learner)
    if sample_weight is not None:
        raise ValueError(
            "Queries have one weight. Received: class_weight and sample_weight. Multiply them "
            "into one sample_weight [tasks, queries]."
        )
    if not learner.gradient_rule.learns_from_queries:
        raise ValueError(
            f"class_weight weights queries, from which {type(learner).__name__} does not learn. "
            f"Received: class_weight={class_weight!r}. Pass support weights: "
            "((support_x, support_y, query_x, support_weights), query_y)."
        )
    shape = getattr(learner.network, "output_shape", None)
    return ClassWeights(class_weight, learner.loss_function.kind, shape)


def make_train_function(learner, of_keras: Callable, force: bool) -> None:
    """Makes a learner's `train_function`, which checks a batch in front of each trace.

    Args:
        learner: a compiled `MetaLearner`.
        of_keras: `make_train_function` of `keras.Model`, bound to the learner.
        force: whether to make it again where it exists.
    """
    several = learner.distribute_strategy.num_replicas_in_sync > 1
    make = functools.partial(_make_replicated, learner) if several else of_keras
    make_guarded(learner, "train_function", make, force, trains=True)


def make_guarded(learner, name: str, make: Callable, force: bool, *, trains: bool) -> None:
    """Makes one of Keras' functions of a learner, which checks a batch in front of each trace.

    Args:
        learner: a compiled `MetaLearner`.
        name: "train_function", "test_function" or "predict_function".
        make: sets the attribute of that name to Keras' function.
        force: whether to make it again where it exists.
        trains: whether batches need query targets.
    """
    if getattr(learner, name) is not None and not force:
        return

    def keras_function():
        make(force=True)
        made = getattr(learner, name)
        setattr(learner, name, guarded)
        return made

    guarded = GuardedStep(learner, keras_function, trains=trains)
    setattr(learner, name, guarded)


def _with_class_weights(learner, x, y, options):
    """(x, y, options) of `fit`, class weights of training data as sample weights."""
    options = dict(options)
    given = options.pop("class_weight"), options.get("sample_weight")
    weights = checked_class_weights(learner, *given)
    if y is None:
        return with_class_weights(weights, x), None, options
    share = options.pop("validation_split", 0.0)
    if share and options.get("validation_data") is None:
        x, y = keras.tree.map_structure(np.asarray, (x, y))
        (x, y), options["validation_data"] = split_off_validation((x, y), share)
    options["sample_weight"] = np.asarray(weights.of(y))
    return x, y, options


def _make_replicated(learner, force=False):
    """Makes a `train_function` of several replicas, which take the step of one device.

    Keras applies gradients in each replica, where an optimizer clips those of the replica's
    share of the tasks, and can neither accumulate them nor overwrite weights by averages.
    """
    step = functools.partial(keras_steps.replicated_train_step, learner)
    if not learner.run_eagerly:
        step = tf.function(
            step, autograph=False, reduce_retracing=True, jit_compile=learner.jit_compile
        )
    learner.train_function = functools.partial(_several_steps, learner, step)


def _check_arrays(learner, x, y=None, sample_weight=None, ways=None, *, trains=False):
    """Checks arrays as a whole, before Keras says in its own words that sizes differ."""
    if isinstance(x, tf.data.Dataset) or not _holds_arrays(x):
        return
    if sample_weight is not None and not hasattr(sample_weight, "shape"):
        sample_weight = tf.convert_to_tensor(sample_weight)
    task = checked_task(learner, (x, y, sample_weight), trains=False)
    if learner.jit_compile:
        with in_words():
            assert_outside_xla(learner, [task], ways, trains=trains)


def _plain(x, y, options):
    """(x, y, options) of `fit` and `evaluate`, every batch as Keras' loops take it."""
    if options.get("_use_cached_eval_dataset"):  # `fit` validates again.
        return x, y, options
    x, y, weights = plain_data(x, y, options.get("sample_weight"))
    options = {**options} if weights is None else {**options, "sample_weight": weights}
    validation = options.get("validation_data")
    if isinstance(validation, Task):
        options["validation_data"] = plain_batch(validation)
    elif isinstance(validation, (tuple, list)):
        options["validation_data"] = plain_batch(*validation)
    elif validation is not None:
        options["validation_data"] = plain_data(validation)[0]
    return texts_as_tensors(x), y, options


def _inputs_of(validation):
    """What a stream's end is asked of; arrays come as a tuple, a stream by itself."""
    return None if isinstance(validation, (tuple, list)) else validation


def _holds_arrays(x) -> bool:
    leaves = tf.nest.flatten(x) if isinstance(x, (tuple, list, dict)) else [x]
    return bool(leaves) and all(leaf is None or hasattr(leaf, "shape") for leaf in leaves)


def _several_steps(learner, step, iterator):
    """Runs `steps_per_execution` steps, or as many as there are batches; the last one's logs."""
    logs = None
    for _, data in zip(range(learner.steps_per_execution), iterator, strict=False):
        logs = step(keras.tree.map_structure(_present, data))
    if logs is None:
        raise StopIteration
    return logs


def _present(part):
    """None where a distributed iterator says so by an empty `tf.experimental.Optional`."""
    return None if isinstance(part, tf.experimental.Optional) else part
