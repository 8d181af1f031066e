"""Conjugate gradients on lists of tensors (Hestenes and Stiefel 1952)."""

from collections.abc import Callable

import tensorflow as tf

from tfmeta.inner.gradients import dot


def conjugate_gradient(
    operator: Callable[[list], list],
    right_side: list[tf.Tensor],
    steps: int,
    *,
    tolerance: float = 0.0,
    unroll: bool = False,
) -> list[tf.Tensor]:
    """Solves operator(x) = right_side from x = 0.

    Args:
        operator: linear, symmetric, positive definite function of a list of tensors.
        right_side: list of tensors.
        steps: number of iterations, a Python int.
        tolerance: iterations stop changing x once the residual's norm is at most this share of
            the right side's.
        unroll: whether to unroll the iterations, as XLA needs in a vectorised map where the
            operator takes derivatives: shapes that these compute from others are no constants
            within a `while_loop`.

    Returns:
        x, a list of tensors.
    """
    x = [tf.zeros_like(tensor) for tensor in right_side]
    squared = dot(right_side, right_side)
    threshold = squared * tolerance**2

    def body(index, x, residual, direction, squared):
        mapped = operator(direction)
        curvature = dot(direction, mapped)
        # Once converged (or where the curvature is not positive) both factors are 0: x stays.
        active = tf.logical_and(squared > threshold, curvature > 0)
        step = tf.where(active, tf.math.divide_no_nan(squared, curvature), 0.0)
        x = [a + step * d for a, d in zip(x, direction, strict=True)]
        residual = [r - step * m for r, m in zip(residual, mapped, strict=True)]
        new_squared = dot(residual, residual)
        ratio = tf.where(active, tf.math.divide_no_nan(new_squared, squared), 0.0)
        direction = [r + ratio * d for r, d in zip(residual, direction, strict=True)]
        return index + 1, x, residual, direction, new_squared

    found = (tf.constant(0), x, list(right_side), list(right_side), squared)
    if unroll:
        for _ in range(steps):
            found = body(*found)
        return found[1]
    return tf.while_loop(lambda index, *_: index < steps, body, found)[1]
