"""The inner loop: n steps of an update, unrolled or as a `while_loop`, both differentiable."""

import tensorflow as tf

# Beyond this many steps a trace gets long and the graph large; a while_loop keeps both constant.
MAX_UNROLLED_STEPS = 10


def run_steps(step, carry, steps, *, record=None, rematerialize=False):
    """Runs `carry, loss = step(index, carry)` `steps` times.

    Args:
        step: function of (int32 [], carry) to (carry, loss []).
        carry: flat list of tensors; shapes do not change.
        steps: Python int, or an int32 scalar tensor (then a `while_loop`).
        record: None, or a function of carry to a tensor, evaluated before the first step and
            after each.
        rematerialize: recompute each step in the backward pass instead of keeping its
            intermediate tensors.

    Returns:
        The last carry, the losses [steps], and the records [steps + 1, ...] (None without
        `record`).
    """
    if rematerialize:
        step = _rematerialized(step)
    if isinstance(steps, int) and steps <= MAX_UNROLLED_STEPS:
        return _unrolled(step, list(carry), steps, record)
    return _while(step, list(carry), steps, record)


def _unrolled(step, carry, steps, record):
    losses, records = [], [record(carry)] if record else []
    for index in range(steps):
        carry, loss = step(tf.constant(index), carry)
        losses.append(loss)
        if record:
            records.append(record(carry))
    losses = tf.stack(losses) if losses else tf.zeros([0], _float_dtype(carry))
    return carry, losses, tf.stack(records) if record else None


def _while(step, carry, steps, record):
    steps = tf.convert_to_tensor(steps, tf.int32)
    losses = tf.TensorArray(_float_dtype(carry), size=steps, element_shape=[])
    first = record(carry) if record else None
    arrays = [losses]
    if record:
        records = tf.TensorArray(first.dtype, size=steps + 1, element_shape=first.shape)
        arrays.append(records.write(0, first))

    def body(index, carry, arrays):
        shapes = [tensor.shape for tensor in carry]
        carry, loss = step(index, list(carry))
        carry = [tf.ensure_shape(t, s) for t, s in zip(carry, shapes, strict=True)]
        arrays = [arrays[0].write(index, loss), *arrays[1:]]
        if record:
            arrays[1] = arrays[1].write(index + 1, record(carry))
        return index + 1, carry, arrays

    _, carry, arrays = tf.while_loop(
        lambda index, *_: index < steps, body, (tf.constant(0), carry, arrays)
    )
    return carry, arrays[0].stack(), arrays[1].stack() if record else None


def _rematerialized(step):
    def run(index, carry):
        count = len(carry)

        @tf.recompute_grad
        def recomputed(*tensors):
            new_carry, loss = step(index, list(tensors))
            return (*new_carry, loss)

        *new_carry, loss = recomputed(*carry)
        assert len(new_carry) == count
        return new_carry, loss

    return run


def _float_dtype(carry):
    return next(tensor.dtype for tensor in carry if tensor.dtype.is_floating)
