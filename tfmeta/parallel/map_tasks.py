"""Mapping a function of one task over a leading axis of tasks."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfmeta.parallel.converters import task_converters
from tfmeta.process.cores import usable_cores

_logger = logging.getLogger("tfmeta")
_warned: set[str] = set()
_noted: list[list[str]] = []

# TensorFlow's conversion fails by any of these; for CTC's loop by an AttributeError.
_NOT_VECTORIZED = (
    ValueError,
    NotImplementedError,
    LookupError,
    AssertionError,
    TypeError,
    AttributeError,
)

PARALLEL = ("auto", "vectorized", "sequential")


def map_tasks(
    function: Callable[[Any], Any],
    tasks: Any,
    *,
    parallel: str = "auto",
    tasks_per_pass: int | None = None,
) -> Any:
    """Applies `function` to each task of `tasks` and stacks the results.

    Example:
        >>> import tensorflow as tf
        >>> from tfmeta.parallel import map_tasks
        >>> map_tasks(lambda x: x * x, tf.constant([1.0, 2.0, 3.0])).numpy()
        array([1., 4., 9.], dtype=float32)

    Args:
        function: of one task (a structure of tensors) to a structure of tensors.
        tasks: the structure with a leading axis T more on every tensor; None parts stay None.
        parallel: "vectorized" (all tasks in one pass), "sequential" (each by itself, as many at a
            time as there are cores; under XLA and on a GPU one after another), or "auto":
            vectorised, and sequential where the function cannot be vectorised (said once).
        tasks_per_pass: at most so many tasks in one vectorised pass, or at a time, to bound memory.
            None: all.

    Returns:
        The structure of results, with a leading axis T.

    Raises:
        ValueError: if `parallel` is unknown, or `tasks_per_pass` is below 1.
    """
    if parallel not in PARALLEL:
        raise ValueError(
            f"parallel must be one of {', '.join(map(repr, PARALLEL))}. Received: {parallel!r}."
        )
    if tasks_per_pass is not None and tasks_per_pass < 1:
        raise ValueError(f"tasks_per_pass must be at least 1. Received: {tasks_per_pass}.")
    if parallel == "sequential":
        return _sequential(function, tasks, tasks_per_pass)
    if tasks_per_pass is not None:
        return _in_passes(function, tasks, parallel, tasks_per_pass)
    if parallel == "vectorized":
        return _vectorized(function, tasks)
    raised: list[Exception] = []
    try:
        with _without_conversion_logs():
            return _vectorized(_noting(function, raised), tasks)
    except _NOT_VECTORIZED as error:
        if raised:  # the function is wrong, whichever way it is mapped
            raise raised[0] from None
        results = _sequential(function, tasks)
        _refused(error)
        return results


@contextlib.contextmanager
def noting_refusals() -> Iterator[list]:
    """Gives a list to which each map adds why it could not be vectorised, inside the `with`."""
    refusals: list[str] = []
    _noted.append(refusals)
    try:
        yield refusals
    finally:
        _noted.pop()


def _noting(function, raised):
    """The function, with what it raises itself added to a list."""

    def noting(task):
        try:
            return function(task)
        except Exception as error:
            raised.append(error)
            raise

    return noting


def _vectorized(function, tasks):
    flat = [t for t in tf.nest.flatten(tasks) if t is not None]
    none = any(list(t.shape[:1]) == [0] for t in flat)
    if none:  # Converters reshape by [tasks, -1, ...], which says nothing of no tasks.
        flat = [at_least_one_row(tf.convert_to_tensor(t)) for t in flat]
    with task_converters():
        results = tf.vectorized_map(
            lambda slices: function(_unflatten(tasks, slices)), flat, warn=False
        )
    return tf.nest.map_structure(lambda result: result[:0], results) if none else results


def at_least_one_row(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, or one row of zeros where it has no rows."""
    if tensor.shape.rank and tensor.shape[0]:
        return tensor
    shape = tf.shape(tensor)
    missing = tf.maximum(0, 1 - shape[0])
    return tf.concat([tensor, tf.zeros(tf.concat([[missing], shape[1:]], 0), tensor.dtype)], 0)


@contextlib.contextmanager
def _without_conversion_logs():
    """Keeps out of the log the pages on an operation that TensorFlow could not vectorise."""
    logger = logging.getLogger("tensorflow")

    def is_other(record):
        message = str(record.msg)
        return not message.startswith("Got error while pfor") and "\ncreated at:" not in message

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _sequential(function, tasks, most=None):
    """Each task by itself, at most so many at a time."""
    flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(tasks) if t is not None]
    specs = [tf.TensorSpec(t.shape[1:], t.dtype) for t in flat]
    one = tf.function(lambda *slices: function(_unflatten(tasks, slices)), autograph=False)
    # Traced once, here: map_fn has to know what comes out before it calls the function.
    one = one.get_concrete_function(*specs)
    outputs = one.structured_outputs
    cores = _cores()
    at_once = min(cores, most or cores)
    return tf.map_fn(
        lambda slices: one(*slices),
        flat,
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype), outputs
        ),
        parallel_iterations=at_once,
    )


def _cores():
    """How many operations TensorFlow runs at once where tasks do not depend on each other.

    What tasks compute does not depend on it, to the bit.
    """
    if tf.executing_eagerly() or tf.config.list_logical_devices("GPU"):
        return 1  # a GPU's operations queue up, while each task at a time takes memory
    threads = tf.config.threading.get_inter_op_parallelism_threads()
    if threads > 0:
        return threads
    return usable_cores()


def _in_passes(function, tasks, parallel, tasks_per_pass):
    flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(tasks) if t is not None]
    count = flat[0].shape[0]
    if count is not None and count <= tasks_per_pass:
        return map_tasks(function, tasks, parallel=parallel)

    def one_pass(part):
        return map_tasks(function, _unflatten(tasks, tf.nest.flatten(part)), parallel=parallel)

    if count is None:
        whole, rest = _known_to_divide(tasks_per_pass, flat), 0
    else:
        rest = count % tasks_per_pass
        whole = [t[: count - rest] for t in flat]
    passes = [tf.reshape(t, [-1, tasks_per_pass, *t.shape[1:]]) for t in whole]
    results = tf.nest.map_structure(
        lambda t: tf.reshape(t, [-1, *t.shape[2:]]), _sequential(one_pass, passes, most=1)
    )
    if not rest:
        return results
    last = one_pass([t[count - rest :] for t in flat])
    return tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=0), results, last)


def _known_to_divide(tasks_per_pass, flat):
    """The tensors, once it is checked that their number of tasks, not known here, divides."""
    count = tf.shape(flat[0])[0]
    message = (
        "Where the number of tasks varies, tasks_per_pass must divide it. Give all batches the "
        f"same number (`.batch(..., drop_remainder=True)`). tasks_per_pass={tasks_per_pass}. "
        "Received tasks:"
    )
    check = tf.debugging.Assert(tf.equal(count % tasks_per_pass, 0), [message, count])
    with tf.control_dependencies([] if check is None else [check]):
        return [tf.identity(t) for t in flat]


def _unflatten(structure, tensors):
    """Puts tensors back in the places of `structure` that are not None."""
    remaining = iter(tensors)
    filled = [None if t is None else next(remaining) for t in tf.nest.flatten(structure)]
    return tf.nest.pack_sequence_as(structure, filled)


def _refused(error):
    """Says why, once a process, and notes it each time."""
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    for refusals in _noted:
        refusals.append(message)
    if message not in _warned:
        _warned.add(message)
        _logger.warning("Tasks run each by itself, since vectorising them failed: %s", message)
