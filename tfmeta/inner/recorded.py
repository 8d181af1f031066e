"""Several operations recorded as one whose gradient is given, as often differentiable as that is.

`tf.custom_gradient` would do, but leaves an attribute in the graph, which an exported model keeps.
"""

import tensorflow as tf
from tensorflow.python.eager import record


def recorded(name, forward, gradient, inputs):
    """Runs `forward`, and lets tapes that watch see one operation.

    Args:
        name: of the operation.
        forward: function of nothing to a list of tensors.
        gradient: function of a gradient for each of them to one for `inputs`; what it computes is
            differentiated where its own derivative is asked for.
        inputs: the tensor that `forward` depends on.

    Returns:
        What `forward` returns.
    """
    with record.stop_recording():
        outputs = forward()

    def gradients(*upstream: tf.Tensor):
        return [gradient(*upstream)]

    record.record_operation(name, outputs, [inputs], gradients)
    return outputs
