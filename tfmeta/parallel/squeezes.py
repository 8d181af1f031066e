"""A converter for `tf.squeeze` without axes, as Keras' convolutions squeeze their biases.

TensorFlow's own squeezes the task axis away with the others when there is one task.
"""

import tensorflow as tf

from tfmeta.parallel.registry import task_converter


@task_converter("Squeeze")
def _squeeze(pfor_input):
    tensor, stacked, _ = pfor_input.input(0)
    shape = pfor_input.op.inputs[0].shape
    if pfor_input.get_attr("squeeze_dims") or not stacked or not shape.is_fully_defined():
        return None
    axes = [axis + 1 for axis, size in enumerate(shape.as_list()) if size == 1]
    return tf.squeeze(tensor, axes) if axes else tensor
