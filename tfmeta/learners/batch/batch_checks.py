"""What a stream of tasks and a batch of it must be, checked by shapes and types on every call."""

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.inner.input_specs import input_specs
from tfmeta.learners import checks
from tfmeta.learners.batch import replicas
from tfmeta.learners.batch.batches import check_numbers


def check_ends(x: Any, steps: int | None, name: str, verb: str) -> None:
    """Refuses a stream without an end, unless a number of steps is given.

    Args:
        x: what is given to `fit`, `evaluate` or `predict`.
        steps: number of batches, or None.
        name: argument that holds `steps`.
        verb: what is done with the stream, for the error.

    Raises:
        ValueError: for a stream that is known to be endless, or empty. Of one that doesn't know its
            length a warning says what to pass.
    """
    if _is_empty(x):
        raise no_tasks(verb)
    if steps is not None:
        return
    if is_endless(x):
        raise ValueError(
            f"{verb} an endless stream of tasks needs `{name}`. Received: {name}=None. "
            f"Give the stream a `count=`, or pass `{name}=`."
        )
    if inspect.isgenerator(x) or (
        isinstance(x, tf.data.Dataset) and x.cardinality().numpy() == tf.data.UNKNOWN_CARDINALITY
    ):
        kind = "A generator" if inspect.isgenerator(x) else "This tf.data.Dataset"
        warnings.warn(
            f"{kind} doesn't know its length: {verb.lower()} it goes on until it ends. If it is "
            f"endless, pass `{name}=`.",
            stacklevel=4,
        )


def no_tasks(verb: str) -> ValueError:
    """The error for a stream in which there is no batch; `verb` as of `check_ends`."""
    return ValueError(
        f"{verb} a stream needs at least one batch. Received: an empty stream. Look for a `take`, "
        "a filter or `drop_remainder=True` that leaves nothing, or a stream that was read before."
    )


@contextlib.contextmanager
def refusing_no_batch(verb: str) -> Iterator[None]:
    """Says that a stream was empty, where `keras.Model.predict` meets a variable without value."""
    try:
        yield
    except UnboundLocalError as error:
        if "batch_outputs" not in str(error):
            raise
        raise no_tasks(verb) from None


def _is_empty(x):
    if isinstance(x, tf.data.Dataset):
        return x.cardinality().numpy() == 0
    return isinstance(x, keras.utils.PyDataset) and x.num_batches == 0


def is_endless(x: Any) -> bool:
    """Whether `x` is known to have no end: a `tf.data.Dataset`, or a `keras.utils.PyDataset`."""
    if isinstance(x, tf.data.Dataset):
        return x.cardinality().numpy() == tf.data.INFINITE_CARDINALITY
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is None
    return False


NO_QUERIES = "A query set must hold a query to be measured. Give the tasks 1 query or more."


def check_tasks(learner, task):
    """Raises a ValueError where shapes or types show that a batch is not one of tasks.

    Args:
        learner: a compiled `MetaLearner`.
        task: a `Task` of tensors, arrays or specs, with a leading axis of tasks.
    """
    checks.check_compiled(learner)
    targets = _shape(task.support.targets)
    if targets.rank and targets[0] == 0 and replicas.replica_count() == 1:
        raise ValueError(
            "A batch must hold a task. Received: support_y of shape "
            f"{tuple(targets)}. Look for a filter or a slice that leaves no task."
        )
    sets = [("support", task.support)]
    if task.query is not None and task.query.inputs is not None:
        sets.append(("query", task.query))
    _check_depth(learner, task.support)
    for name, examples in sets:
        for tensor, expected in _with_expected_shapes(learner.network, name, examples.inputs):
            _check_inputs(f"{name}_x", _shape(tensor), expected)
        if examples.targets is not None:
            check_numbers(examples.targets, f"{name}_y")
        _check_lengths(name, examples)
    if len(sets) > 1:
        tasks = [_first(examples)[:1] for _, examples in sets]
        if not tasks[0].is_compatible_with(tasks[1]):
            raise ValueError(
                "support_x and query_x must hold as many tasks as each other. "
                f"Received: {tasks[0][0]} and {tasks[1][0]}."
            )
    if targets.rank is not None and targets[1] == 0:
        raise ValueError(
            "A support set must hold an example. Received: support_y of shape "
            f"{tuple(targets)}. Give the tasks 1 shot or more."
        )


def check_one_task(learner, support):
    """Raises a ValueError unless a support set is that of one task, without an axis of tasks.

    Args:
        learner: a compiled `MetaLearner`.
        support: `Examples` of tensors or arrays.
    """
    checks.check_compiled(learner)
    shape, expected = _first(support), _expected_shapes(learner.network)
    given = keras.tree.flatten(support.inputs)
    if len(expected) == 1 < len(given) and isinstance(support.inputs, (list, tuple)):
        raise ValueError(
            "support_x must be one array [examples, ...]. Received: "
            f"{len(given)} arrays, where the network has one input. Join the examples by "
            "np.stack(support_x)."
        )
    if expected and shape.rank == len(expected[0]) + 2:
        raise ValueError(
            "`adapt` takes one task: support_x is "
            f"[{', '.join(map(str, ('examples', *expected[0])))}]. Received: shape "
            f"{tuple(shape)}, a batch of {shape[0]} tasks. Pass one of them: "
            "learner.adapt(support_x[0], support_y[0]); or let learner.predict or "
            "learner.task_weights adapt to all."
        )
    if _shape(support.targets).rank == 0:
        raise ValueError(
            "`adapt` takes one target an example: support_y is [examples, ...]. Received: a single "
            "number. Pass a list of targets."
        )


def check_queries(learner, inputs):
    """Raises a ValueError unless query inputs of one task are what its network takes.

    Args:
        learner: a compiled `MetaLearner`.
        inputs: tensors [Q, ...].
    """
    for tensor, expected in _with_expected_shapes(learner.network, "query", inputs):
        if not _shape(tensor).is_compatible_with([None, *expected]):
            raise ValueError(
                "Queries of an adapted model must have the shape "
                f"[{', '.join(map(str, ('queries', *expected)))}]. Received: "
                f"{tuple(tensor.shape)}. Pass the queries of one task; of a single example, "
                "example[np.newaxis]."
            )


def check_query_targets(learner, task, *, evaluates=False):
    """Raises a ValueError where there is nothing to compare the answers to queries with.

    Args:
        learner: a `MetaLearner`. One that learns from no query may train on tasks without any.
        task: a `Task` of tensors, arrays or specs, with a leading axis of tasks.
        evaluates: whether the queries are measured, not learned from.
    """
    if task.query.targets is None:
        raise ValueError(
            "Training and evaluating need query targets. Received: tasks without query_y. Pass "
            "((support_x, support_y, query_x), query_y)."
        )
    shape = _shape(task.query.targets)
    needed = evaluates or learner.gradient_rule.learns_from_queries
    if needed and shape.rank is not None and shape[1:2] == [0]:
        raise ValueError(f"{NO_QUERIES} Received: query_y of shape {tuple(shape)}.")


def warn_if_diverged(learner, results):
    """Warns where an evaluation's loss is not finite, and says whether the weights are.

    Args:
        learner: the `MetaLearner`.
        results: what `evaluate` gives: a number, a list whose first is the loss, or a dict.
    """
    if isinstance(results, dict):
        loss = results["loss"]
    else:  # Metrics beside the loss may be vectors, as F1Score without an average.
        loss = results[0] if isinstance(results, (list, tuple)) else results
    if np.isfinite(loss):
        return
    broken = [
        path
        for path, variable in zip(learner.parameter_paths, learner.parameter_variables, strict=True)
        if not np.isfinite(np.asarray(variable.numpy(), "float64")).all()
    ]
    if broken:
        shown = ", ".join(broken[:3]) + (" ..." if len(broken) > 3 else "")
        said = (
            f"{len(broken)} of the {len(learner.parameter_paths)} trained weights are not finite "
            f"({shown}): the learner diverged in training. Go back to an earlier checkpoint, and "
            "train with a lower outer rate or meta_gradient_clip."
        )
    else:
        said = (
            "All trained weights are finite, so adapting to at least one task diverged, or its "
            "data are not finite. Lower inner_rate, or take fewer inner steps; "
            "learner.adaptation_curve gives each task's losses by step."
        )
    warnings.warn(f"The loss of these tasks is not finite: {loss}. {said}", stacklevel=4)


def _check_depth(learner, support):
    """Raises a ValueError for one task where a batch of tasks is asked for, with what to do."""
    shape, targets = _first(support), _shape(support.targets)
    expected = _expected_shapes(learner.network)
    one = bool(expected) and shape.rank == len(expected[0]) + 1
    if not one and (targets.rank is None or targets.rank > 1):
        return
    sizes = ", ".join(map(str, expected[0])) if expected else "..."
    raise ValueError(
        f"Tasks come in batches: support_x is [tasks, examples, {sizes}], support_y "
        f"[tasks, examples, ...]. Received: shapes {tuple(shape) if shape.rank else shape} and "
        f"{tuple(targets) if targets.rank is not None else targets}, one task. Batch a stream with "
        "`.batch(tasks)`, or add the axis: support_x[np.newaxis]; learner.adapt takes one task."
    )


def _shape(tensor):
    return tf.TensorShape(tensor.shape)


def _first(examples):
    return _shape(keras.tree.flatten(examples.inputs)[0])


def _check_lengths(name, examples):
    inputs = _first(examples)[:2]
    for part, tensor in (("y", examples.targets), ("weights", examples.weights)):
        if tensor is None:
            continue
        sizes = _shape(tensor)[:2]
        if part == "weights" and name == "query" and (sizes.rank == 1 or sizes[1:] == [1]):
            # Weights of tasks, [T] or [T, 1]; of one query a task, [T, 1] are those of queries.
            sizes = tf.TensorShape([sizes[0], None])
        if not inputs.is_compatible_with(sizes):
            raise ValueError(
                f"{name}_x and {name}_{part} must hold as many tasks and examples as each other. "
                f"Received: {tuple(inputs)} and {tuple(sizes)}."
            )


def _expected_shapes(network):
    """Shapes of an example's inputs, where the network says them."""
    return [tuple(spec.shape)[1:] for spec in getattr(network, "inputs", None) or ()]


def _with_expected_shapes(network, name, inputs):
    expected = _expected_shapes(network)
    if not expected:
        return []
    tensors = _in_order_of_inputs(network, name, inputs)
    if len(expected) != len(tensors):
        raise ValueError(
            f"{name}_x must have as many parts as the network has inputs, {len(expected)}. "
            f"Received: {len(tensors)}. Pass a dict or list of arrays, as the network takes them."
        )
    return zip(tensors, expected, strict=True)


def _in_order_of_inputs(network, name, inputs):
    """The parts of inputs as `network.inputs` lists them; a dict's by their names, as in Keras."""
    structure = input_specs(network)
    names = [tensor.name for tensor in network.inputs]
    if isinstance(structure, Mapping):
        names = sorted(structure)
    by_name = isinstance(structure, Mapping) or len(names) > 1
    if not isinstance(inputs, Mapping) or not by_name or len(names) != len(network.inputs):
        return keras.tree.flatten(inputs)
    missing = [each for each in names if each not in inputs]
    if missing:
        raise ValueError(
            f"{name}_x must have the network's inputs by their names, {', '.join(names)}. "
            f"Received: {', '.join(map(str, inputs))}. Rename the parts."
        )
    return keras.tree.flatten([inputs[each] for each in (*names, *(set(inputs) - set(names)))])


def _check_inputs(name, shape, expected):
    matches = shape.is_compatible_with([None, None, *expected])
    if not matches:
        raise ValueError(
            f"{name} must have the shape [tasks, examples, "
            f"{', '.join(map(str, expected))}], that of the network's inputs. "
            f"Received: {tuple(shape)}. Batch the stream with `.batch(tasks)`, or build the "
            f"network for these inputs.{_own_inputs(shape, expected)}"
        )


def _own_inputs(shape, expected):
    """How to say the inputs of an MLP, where the examples are vectors."""
    if shape.rank != 3 or len(expected) != 1:
        return ""
    return (
        f" For tfmeta.networks.mlp: input_dim={shape[2]}, in a recipe mlp.input_dim = {shape[2]}."
    )
