"""The inner loop: n steps of an update, unrolled or as a `while_loop`, both differentiable."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Beyond this many steps a trace gets long and the graph large; a while_loop keeps both constant.
MAX_UNROLLED_STEPS = 10


def run_steps(
    step: Callable[..., tuple[list, tf.Tensor]],
    carry: list,
    steps: int | tf.Tensor,
    *,
    constants: Sequence[tf.Tensor] = (),
    record: Callable[..., Any] | None = None,
    unroll: bool = False,
    rematerialize: bool = False,
) -> tuple[list, tf.Tensor, Any]:
    """Runs `carry, loss = step(index, carry, constants)` `steps` times.

    Args:
        step: function of (int32 [], carry, constants) to (carry, loss []).
        carry: flat list of tensors; shapes do not change.
        steps: Python int, or an int32 scalar tensor (then a `while_loop`).
        constants: flat list of the tensors that the step depends on beside the carry and through
            which derivatives flow.
        record: None, or a function of (steps done, carry) to a tensor or a list of them,
            evaluated before the first step and after each.
        unroll: whether to unroll any number of steps, as a vectorised map needs where it is
            differentiated: it cannot convert the gradient of a `while_loop`.
        rematerialize: recompute each step in the backward pass instead of keeping its
            intermediate tensors.

    Returns:
        The last carry, the losses [steps], and the records, each tensor [steps + 1, ...] (None
        without `record`).
    """
    run = _rematerialized(step) if rematerialize else step
    constants = list(constants)

    def one(index, carry):
        return run(index, carry, constants)

    if isinstance(steps, int) and (unroll or steps <= MAX_UNROLLED_STEPS):
        return _unrolled(one, list(carry), steps, record)
    return _while(one, list(carry), steps, record)


def _unrolled(step, carry, steps, record):
    losses, records = [], [record(tf.constant(0), carry)] if record else []
    for index in range(steps):
        carry, loss = step(tf.constant(index), carry)
        losses.append(loss)
        if record:
            records.append(record(tf.constant(index + 1), carry))
    losses = tf.stack(losses) if losses else tf.zeros([0], _float_dtype(carry))
    stacked = tf.nest.map_structure(lambda *each: tf.stack(each), *records) if record else None
    return carry, losses, stacked


def _while(step, carry, steps, record):
    # Rows of tensors, not TensorArrays: a vectorised map makes lists of lists of those, which XLA
    # does not have.
    steps = tf.convert_to_tensor(steps, tf.int32)
    losses = tf.zeros([steps], _float_dtype(carry))
    first = record(tf.constant(0), carry) if record else []
    records = [_with_row(_rows(t, steps + 1), 0, t) for t in tf.nest.flatten(first)]

    def body(index, carry, losses, records):
        shapes = [tensor.shape for tensor in carry]
        carry, loss = step(index, list(carry))
        carry = [tf.ensure_shape(t, s) for t, s in zip(carry, shapes, strict=True)]
        if record:
            seen = tf.nest.flatten(record(index + 1, carry))
            records = [_with_row(r, index + 1, t) for r, t in zip(records, seen, strict=True)]
        # What is adapted may be of another dtype than what the loss is computed in.
        losses = _with_row(losses, index, tf.cast(loss, losses.dtype))
        return index + 1, carry, losses, records

    _, carry, losses, records = tf.while_loop(
        lambda index, *_: index < steps, body, (tf.constant(0), carry, losses, records)
    )
    return carry, losses, tf.nest.pack_sequence_as(first, records) if record else None


def _rows(like, count):
    return tf.zeros(tf.concat([[count], tf.shape(like)], 0), like.dtype)


def _with_row(rows, index, row):
    return tf.tensor_scatter_nd_update(rows, [[index]], row[tf.newaxis])


def _rematerialized(step):
    """The step with a gradient that runs it again.

    `tf.recompute_grad` stops every tape from recording, and with them the tape within the step.
    """

    def run(index, carry, constants):
        count = len(carry)

        def forward(*tensors):
            new_carry, loss = step(index, list(tensors[:count]), list(tensors[count:]))
            return [*new_carry, loss]

        @tf.custom_gradient
        def recomputed(*tensors):
            def gradient(*upstream):
                # The dependency keeps the second run apart from the first, with which graph
                # optimisation would merge it, and late, when its turn has come.
                with tf.control_dependencies(upstream):
                    again = [tf.identity(tensor) for tensor in tensors]
                with tf.GradientTape() as tape:
                    tape.watch(again)
                    outputs = forward(*again)
                return tape.gradient(outputs, again, list(upstream), unconnected_gradients="zero")

            return forward(*tensors), gradient

        outputs = recomputed(*carry, *constants)
        return list(outputs[:-1]), outputs[-1]

    return run


def _float_dtype(carry):
    return next(tensor.dtype for tensor in carry if tensor.dtype.is_floating)
