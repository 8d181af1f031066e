"""Several operations recorded as one whose gradient is given, as often differentiable as that is.

`tf.custom_gradient` would do, but leaves an attribute in the graph, which an exported model keeps.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.eager import record


def recorded(
    name: str,
    forward: Callable[[], list[tf.Tensor]],
    gradient: Callable[..., list[tf.Tensor | None]],
    inputs: list[tf.Tensor],
) -> list[tf.Tensor]:
    """Runs `forward`, and lets tapes that watch see one operation.

    Args:
        name: of the operation.
        forward: zero-argument function to a list of tensors.
        gradient: function of a gradient for each of them to a list of one for each of `inputs`;
            what it computes is differentiated where its own derivative is asked for.
        inputs: list of the tensors that `forward` depends on.

    Returns:
        What `forward` returns.
    """
    with record.stop_recording():
        outputs = forward()
    record.record_operation(name, outputs, inputs, gradient)
    return outputs
