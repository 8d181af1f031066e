"""Converters for max pooling, whose examples are independent: those of all tasks are one batch.

TensorFlow's own do the same with shapes computed in the graph. With constant ones the reshapes
between pooling and its gradient cancel, and on CPU oneDNN then takes both: its gradient, much
the faster one, needs to see the pooling that it belongs to. Exact max pooling pads its images
with a value other than 0, which TensorFlow's own converter of padding forgets.
"""

import tensorflow as tf

from tfmeta.parallel.converters.registry import task_converter

_OPERANDS = {
    "MaxPool": ("input",),
    "MaxPoolGrad": ("orig_input", "orig_output", "grad"),
    "MaxPoolGradGrad": ("orig_input", "orig_output", "grad"),
}
_ATTRIBUTES = ("ksize", "strides")


@task_converter(*_OPERANDS)
def _pool(pfor_input):
    names = _OPERANDS[pfor_input.op_type]
    operands = [pfor_input.input(index) for index in range(len(names))]
    if pfor_input.get_attr("padding") == b"EXPLICIT" or not all(
        stacked and tensor.shape.is_fully_defined() for tensor, stacked, _ in operands
    ):
        return None
    pooled = getattr(tf.raw_ops, pfor_input.op_type)(
        **{
            name: tf.reshape(tensor, [-1, *tensor.shape[2:]])
            for name, (tensor, _, _) in zip(names, operands, strict=True)
        },
        **{name: list(pfor_input.get_attr(name)) for name in _ATTRIBUTES},
        padding=pfor_input.get_attr("padding").decode(),
        data_format=pfor_input.get_attr("data_format").decode(),
    )
    return tf.reshape(pooled, [*operands[0][0].shape[:2], *pooled.shape[1:]])


@task_converter("PadV2")
def _pad(pfor_input):
    (tensor, stacked, _), (paddings, paddings_stacked, _), (value, value_stacked, _) = (
        pfor_input.input(index) for index in range(3)
    )
    if not stacked or paddings_stacked or value_stacked:
        return None
    paddings = tf.concat([tf.zeros([1, 2], paddings.dtype), paddings], axis=0)
    return tf.pad(tensor, paddings, constant_values=value)
