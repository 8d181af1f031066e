"""What stands in front of a compiled function: a batch is checked before it is traced.

`tf.function` keeps its traces, and relaxes sizes to unknown ones after the second shape. So what a
trace sees of a batch depends on the batches before it. Here a batch, or the specification of a
stream, is looked at on every call, and each kind of batch gets a compiled function of its own, in
which ranks, types and the sizes of an example stay known.
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfmeta.learners.batch import batch_checks
from tfmeta.learners.batch.assertions import (
    absence_assertions,
    batch_assertions,
    label_assertions,
    weight_assertions,
)
from tfmeta.learners.batch.errors import in_words
from tfmeta.learners.batch.task_weights import split_weights
from tfmeta.tasks.task import Examples, Task, unpack_tasks


def signature(learner, arguments) -> str:
    """What tells kinds of arguments apart: structure, types, ranks, and sizes of an example.

    Numbers of tasks and of examples are left out, and what the network leaves open too.

    Args:
        learner: a `MetaLearner`.
        arguments: any structure of tensors, arrays or specs; `Task` and `Examples` in it are
            known by their fields.
    """
    if isinstance(arguments, Task):
        return f"Task({signature(learner, arguments.support)}, {signature(learner, arguments[1])})"
    if isinstance(arguments, Examples):
        inputs = _described(arguments.inputs, any(None in s for s in _input_shapes(learner)))
        targets = _described(arguments.targets, None in _output_shape(learner))
        return f"Examples({inputs}, {targets}, {_described(arguments.weights, False)})"
    if isinstance(arguments, (tuple, list)):
        return f"({', '.join(signature(learner, each) for each in arguments)})"
    return _described(arguments, False)


def checked_task(learner, data, *, trains: bool) -> Task:
    """The `Task` of a batch or of its specification, after all checks of shapes and types.

    Args:
        learner: a compiled `MetaLearner`.
        data: `(x, y, sample_weight)` or its first parts, of tensors, arrays or specs.
        trains: whether query targets are needed.

    Raises:
        ValueError: the rule, what was received, and what to do.
    """
    data = data if isinstance(data, tuple) else (data,)
    task = unpack_tasks(*(tf.nest.map_structure(_without_optional, part) for part in data))
    batch_checks.check_tasks(learner, task)
    if trains:
        batch_checks.check_query_targets(learner, task)
    return task


class GuardedStep:
    """One of Keras' `train_function`, `test_function` and `predict_function`, behind the checks.

    Args:
        learner: the `MetaLearner`.
        make: zero-argument function that makes one of Keras' functions, of an iterator over
            batches (`predict_function`: of a list of batches).
        trains: whether batches need query targets.
    """

    def __init__(self, learner, make, *, trains: bool):
        self._learner, self._make, self._trains = learner, make, trains
        self._functions: dict[str, Callable] = {}
        self._spec: Any = None
        self._function: Any = None

    def __call__(self, batches):
        spec = getattr(batches, "element_spec", None)
        if spec is None:
            batches = iter(batches)
            first = next(batches)
            batches = [first, *itertools.islice(batches, self._learner.steps_per_execution - 1)]
            for batch in batches:
                function = self._function_for(batch)
            return function(batches)
        # A stream's specification is looked at once: it is the same object at every step.
        if spec is not self._spec:
            self._function, self._spec = self._function_for(spec), spec
        return self._function(batches)

    def _function_for(self, data):
        data = tf.nest.map_structure(_of_first_replica, data)
        task = checked_task(self._learner, data, trains=self._trains)
        key = signature(self._learner, task)
        if key not in self._functions:
            self._functions[key] = self._make()
        return self._functions[key]


class GuardedFunction:
    """A function of a learner, compiled once for each kind of arguments (`signature`).

    Args:
        learner: the `MetaLearner`.
        function: of structures of tensors.
        ways: number of classes that labels tell apart; None: as in training.
        trains: whether the layers' own state moves by the queries.
    """

    def __init__(self, learner, function, ways=None, *, trains=False):
        self._learner, self._function, self._ways = learner, function, ways
        self._trains = trains
        self._compiled = {}

    def __call__(self, *arguments):
        key = signature(self._learner, arguments)
        if key not in self._compiled:
            self._compiled[key] = tf.function(
                self._function,
                autograph=False,
                jit_compile=bool(self._learner.jit_compile),
                reduce_retracing=True,
            )
        with in_words():
            if self._learner.jit_compile:
                assert_outside_xla(self._learner, arguments, self._ways, trains=self._trains)
            return self._compiled[key](*arguments)


def assert_outside_xla(learner, arguments, ways=None, *, trains=False) -> None:
    """Checks labels and weights of concrete tasks, as what XLA compiles has no assertions.

    Args:
        learner: a compiled `MetaLearner`.
        arguments: `Task`s and `Examples` among them are checked.
        ways: number of classes that labels tell apart; None: as in training.
        trains: whether the layers' own state moves by the queries.
    """
    for part in arguments:
        if isinstance(part, Examples):
            part = Task(part, Examples(None))
        if isinstance(part, Task):
            label_assertions(learner, part, ways or learner.training_ways)
            weighted = Task(*(_with_weights_as_tensor(examples) for examples in part))
            weight_assertions(weighted, query=False)
            absence_assertions(learner, split_weights(weighted)[0], trains=trains)


def _with_weights_as_tensor(examples):
    weights = examples.weights
    if weights is None:
        return examples
    return Examples(examples.inputs, examples.targets, tf.convert_to_tensor(weights))


def with_assertions(learner, stream) -> tf.data.Dataset:
    """A stream of batches that are checked, as far as data tell, as they are drawn outside XLA."""

    def check(*batch):
        data = batch if len(batch) > 1 else batch[0]
        task, _ = split_weights(unpack_tasks(*keras.utils.unpack_x_y_sample_weight(data)))
        assertions = batch_assertions(learner, task, learner.training_ways, trains=True)
        with tf.control_dependencies(assertions):
            return tf.nest.map_structure(tf.identity, data)

    return stream.map(check)


def _described(structure, varies):
    """Types and shapes of a structure; with `varies`, of an example's sizes only how many."""

    def describe(leaf):
        if leaf is None or not hasattr(leaf, "shape"):
            return type(leaf).__name__
        shape = tf.TensorShape(leaf.shape)
        if shape.rank is None:
            return f"{tf.as_dtype(leaf.dtype).name}[?]"
        sizes = [None if varies else size for size in shape[2:]]
        kind = "ragged " if isinstance(leaf, (tf.RaggedTensor, tf.RaggedTensorSpec)) else ""
        return f"{kind}{tf.as_dtype(leaf.dtype).name}{shape.rank}{sizes}"

    return str(tf.nest.map_structure(describe, structure))


def _input_shapes(learner):
    inputs = getattr(learner.network, "inputs", None)
    return [tuple(each.shape)[1:] for each in inputs] if inputs else [(None,)]


def _output_shape(learner):
    shape = getattr(learner.network, "output_shape", None)
    return shape[1:] if isinstance(shape, tuple) else (None,)


def _without_optional(leaf):
    """Keras gives a part that is None to `tf.data` as an optional without a value."""
    return None if isinstance(leaf, (tf.OptionalSpec, tf.experimental.Optional)) else leaf


def _of_first_replica(leaf):
    if isinstance(leaf, tf.distribute.DistributedValues):
        return leaf.values[0]
    specs = getattr(leaf, "_value_specs", None)
    return specs[0] if specs else leaf
