"""Tasks one after another, each starting from the state that the last one left."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def chain_tasks(
    function: Callable[[Any, Any], tuple[Any, Any]], tasks: Any, state: Any
) -> tuple[Any, Any]:
    """Runs `result, state = function(task, state)` over the leading axis of `tasks`.

    Args:
        function: of one task and the state to (structure of tensors, list of tensors).
        tasks: structure of tensors with a leading axis T; None parts stay None.
        state: list of tensors; shapes do not change.

    Returns:
        The stacked results [T, ...] and the last state.
    """
    flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(tasks) if t is not None]
    places = [t is not None for t in tf.nest.flatten(tasks)]

    def one(slices, *state):
        slices = iter(slices)
        parts = [next(slices) if present else None for present in places]
        return function(tf.nest.pack_sequence_as(tasks, parts), list(state))

    specs = [tf.TensorSpec(t.shape[1:], t.dtype) for t in flat]
    state_specs = [tf.TensorSpec(t.shape, t.dtype) for t in state]
    concrete = tf.function(one, autograph=False).get_concrete_function(specs, *state_specs)
    spec = concrete.structured_outputs[0]
    count = tf.shape(flat[0])[0]
    arrays = [
        tf.TensorArray(t.dtype, size=count, element_shape=t.shape) for t in tf.nest.flatten(spec)
    ]

    def body(index, state, arrays):
        result, state = concrete([t[index] for t in flat], *state)
        arrays = [
            array.write(index, value)
            for array, value in zip(arrays, tf.nest.flatten(result), strict=True)
        ]
        return index + 1, list(state), arrays

    _, state, arrays = tf.while_loop(
        lambda index, *_: index < count,
        body,
        (tf.constant(0), list(state), arrays),
        parallel_iterations=1,
    )
    return tf.nest.pack_sequence_as(spec, [array.stack() for array in arrays]), state
