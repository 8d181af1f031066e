"""A recipe's whole training step as a function of tensors alone, and its StableHLO.

Drawing the tasks, the meta-gradient, the outer update and the learner's state: everything that
changes is an argument and an output, and everything else, the pool of examples too, an argument.
"""

import contextlib
from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tfmeta.derivatives.batch_kernels import FusedKernels
from tfmeta.learners.batch.task_weights import split_weights
from tfmeta.learners.core.variables import changed_groups
from tfmeta.learners.keras_model import meta_steps


class Lowered(NamedTuple):
    """A training step.

    Attributes:
        text: StableHLO of a function of `carry`, then `fixed`, to a new carry and the loss.
        carry: arrays that a step changes: `variables_of(training)` in their order.
        fixed: arrays that no step changes.
    """

    text: str
    carry: list[np.ndarray]
    fixed: list[np.ndarray]


def variables_of(training) -> list:
    """What a step changes: parameters, state, the optimizer's variables, and the steps taken.

    Args:
        training: `tfmeta.runs.training.Training`, built.
    """
    learner = training.learner
    return [
        *learner.parameter_variables,
        *learner.state_variables,
        *learner.optimizer.variables,
        training.step_variable,
    ]


def lower(training, stream) -> Lowered:
    """Lowers the step that trains `training.learner` on the tasks of `stream`.

    Raises:
        ValueError: for an optimizer or an option that is not written out here.
    """
    if training.learner.chains_state:
        raise ValueError(
            f"A lowered step computes its tasks together. Received: "
            f"{type(training.learner).__name__}, whose tasks follow one another (carry_moments). "
            "Train with `python -m tfmeta.train`."
        )
    variables = variables_of(training)
    specs = [tf.TensorSpec(variable.shape, variable.dtype) for variable in variables]
    step = step_function(training, stream)
    with as_on_a_gpu(), full_precision():
        traced = tf.function(step, autograph=False).get_concrete_function(*specs)
        fixed = [_value(tensor) for tensor in traced.captured_inputs]
        every = [*specs, *(tf.TensorSpec(array.shape, array.dtype) for array in fixed)]
        compiled = tf.function(_lifted(traced), jit_compile=True, autograph=False)
        compiled.get_concrete_function(*every)
        text = compiled.experimental_get_compiler_ir(*every)(stage="stablehlo")
    return Lowered(text, [np.asarray(variable) for variable in variables], fixed)


def step_function(training, stream):
    """The function of the values of `variables_of(training)` to their next ones, and the loss."""
    learner, tasks = training.learner, training.tasks_per_step
    update = outer_update(learner)

    def step(*values):
        parameters, state, slots, count = _parts(learner, values)
        variables = [*learner.parameter_variables, *learner.state_variables]
        given = list(zip(variables, [*parameters, *state], strict=True))
        drawn = stream.sample_block(count * tasks, tasks)
        task, weight = split_weights(meta_steps.unpacked(drawn))
        with keras.StatelessScope(state_mapping=given):
            found = meta_steps.batch_gradient(learner, task, count * tasks, weight)
        gradients, clip = found.gradients, learner.meta_gradient_clip
        if clip is not None:
            gradients = [tf.clip_by_value(value, -clip, clip) for value in gradients]
        parameters, slots = update(parameters, slots, gradients)
        state = _next_state(learner, state, found.state)
        return [*parameters, *state, *slots, count + 1, found.logs["loss"]]

    return step


class Moments(NamedTuple):
    """Adam's running means of the gradients and of their squares, one of each a parameter."""

    means: list[tf.Tensor]
    squares: list[tf.Tensor]


def adam_update(parameters, moments, gradients, count, rate, beta_1, beta_2, epsilon):
    """(parameters, moments) after an update of Adam as Keras computes it.

    Args:
        parameters: list of tensors.
        moments: `Moments` before it.
        gradients: list of tensors.
        count: of updates, this one included; a scalar.
        rate: scalar.
        beta_1: as of `keras.optimizers.Adam`, like the next two.
        beta_2: likewise.
        epsilon: likewise.
    """
    count = tf.cast(count, tf.float32)
    step = rate * tf.sqrt(1.0 - tf.pow(beta_2, count)) / (1.0 - tf.pow(beta_1, count))
    found = Moments(
        [m + (g - m) * (1.0 - beta_1) for m, g in zip(moments.means, gradients, strict=True)],
        [
            v + (tf.square(g) - v) * (1.0 - beta_2)
            for v, g in zip(moments.squares, gradients, strict=True)
        ],
    )
    moved = [
        w - m * step / (tf.sqrt(v) + epsilon) for w, m, v in zip(parameters, *found, strict=True)
    ]
    return moved, found


def outer_update(learner):
    """The function (parameters, optimizer's variables, gradients) -> (parameters, variables).

    Keras' optimizers assign variables, which a compiled program without TensorFlow has not.

    Raises:
        ValueError: for an optimizer other than plain Adam or SGD.
    """
    optimizer = learner.optimizer
    config = optimizer.get_config()
    extras = (
        *("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema"),
        *("gradient_accumulation_steps", "loss_scale_factor", "amsgrad", "momentum", "nesterov"),
    )
    asked = {name: config[name] for name in extras if config.get(name)}
    if type(optimizer) not in (keras.optimizers.Adam, keras.optimizers.SGD) or asked:
        raise ValueError(
            f"A lowered step has Adam or SGD without further options. Received: "
            f"{type(optimizer).__name__} with {asked}. Train with `python -m tfmeta.train`."
        )
    rate = optimizer._learning_rate

    def rate_at(count, stored):
        return rate(count) if callable(rate) else stored

    # Variables of Keras' optimizers: the count of updates, the rate unless it is a schedule, slots.
    first = 1 if callable(rate) else 2

    def sgd(parameters, variables, gradients):
        step = rate_at(variables[0], variables[-1])
        moved = [w - g * step for w, g in zip(parameters, gradients, strict=True)]
        return moved, [variables[0] + 1, *variables[1:]]

    def adam(parameters, variables, gradients):
        count, slots = variables[0] + 1, variables[first:]
        moments = Moments(slots[0::2], slots[1::2])
        step = rate_at(variables[0], variables[1])
        settings = (config["beta_1"], config["beta_2"], config["epsilon"])
        moved, moments = adam_update(parameters, moments, gradients, count, step, *settings)
        pairs = [slot for pair in zip(*moments, strict=True) for slot in pair]
        return moved, [count, *variables[1:first], *pairs]

    return adam if isinstance(optimizer, keras.optimizers.Adam) else sgd


@contextlib.contextmanager
def as_on_a_gpu():
    """TensorFlow's fused batch normalisation computes on a CPU only; its gradient means another
    thing on a GPU."""
    with mock.patch.object(FusedKernels, "serve", staticmethod(lambda x: False)):
        yield


@contextlib.contextmanager
def full_precision():
    """Products in full float32: the text says so of each."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _parts(learner, values):
    ends = np.cumsum([len(learner.parameter_variables), len(learner.state_variables)])
    return values[: ends[0]], values[ends[0] : ends[1]], list(values[ends[1] : -1]), values[-1]


def _next_state(learner, before, found):
    """The state after a step: of the groups that a step changes, what its tasks left."""
    groups, changed = learner.state_groups, changed_groups(learner)
    moved = learner.gradient_rule.after_updates(groups.pack(found), 1)
    new = []
    for name in groups.names:
        new += getattr(moved if name in changed else groups.pack(before), name)
    return new


def _value(tensor):
    if tensor.dtype == tf.resource:
        raise ValueError(f"The step must not read a variable. Received: {tensor}. Pass its value.")
    return tensor.numpy()


def _lifted(traced):
    """The function of `traced`'s arguments and of what it captured."""
    definition = traced.graph.as_graph_def()
    inputs = [tensor.name for tensor in traced.inputs]
    outputs = [tensor.name for tensor in traced.outputs]
    # XLA knows no placeholders: their readers are connected with the arguments.
    names = {name.partition(":")[0] for name in inputs}
    kept = [node for node in definition.node if node.name not in names]
    del definition.node[:]
    definition.node.extend(kept)
    read = {name.partition(":")[0] for node in kept for name in node.input}

    def function(*arguments):
        given = dict(zip(inputs, arguments, strict=True))
        given = {name: tensor for name, tensor in given.items() if name.partition(":")[0] in read}
        return tf.graph_util.import_graph_def(definition, given, outputs, name="")

    return function
