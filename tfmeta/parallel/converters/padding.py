"""A converter for padding with a value other than 0, as exact max pooling pads its images.

TensorFlow's own forgets the value and pads with 0.
"""

import tensorflow as tf

from tfmeta.parallel.converters.registry import task_converter


@task_converter("PadV2")
def _pad(pfor_input):
    (tensor, stacked, _), (paddings, paddings_stacked, _), (value, value_stacked, _) = (
        pfor_input.input(index) for index in range(3)
    )
    if not stacked or paddings_stacked or value_stacked:
        return None
    paddings = tf.concat([tf.zeros([1, 2], paddings.dtype), paddings], axis=0)
    return tf.pad(tensor, paddings, constant_values=value)
