"""A traced float32 program in float64: what rounding does to a network, and nothing else."""

import tensorflow as tf

from tfmeta.saved_model.litert.replay import copied

_FLOAT, _DOUBLE = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum


def to_double(tensor):
    """The tensor, in float64 where it is float32."""
    return tf.cast(tensor, tf.float64) if tensor.dtype == tf.float32 else tensor


def in_double(operation, inputs):
    """A translation: the same operation in float64, where TensorFlow has it in float64."""
    if operation.type == "Const":
        return [to_double(tf.constant(tf.get_static_value(operation.outputs[0])))]
    if "f" in operation.node_def.attr or "body" in operation.node_def.attr:
        return None
    if "then_branch" in operation.node_def.attr:
        return None
    # Random numbers of another type would be other numbers.
    if "Random" in operation.type or not _takes_double(operation):
        found = [_like(value, old) for value, old in zip(inputs, operation.inputs, strict=True)]
        return [to_double(tensor) for tensor in copied(operation, found)]
    attributes = {name: _doubled(value) for name, value in operation.node_def.attr.items()}
    dtypes = [tf.float64 if t.dtype == tf.float32 else t.dtype for t in operation.outputs]
    return copied(operation, inputs, attributes, dtypes)


def _takes_double(operation):
    definition = operation.op_def
    fixed = [arg.type for arg in (*definition.input_arg, *definition.output_arg)]
    if _FLOAT in fixed or operation.type == "ReadVariableOp":
        return False
    for attribute in definition.attr:
        allowed = attribute.allowed_values.list.type
        value = operation.node_def.attr[attribute.name].type
        if value == _FLOAT and allowed and _DOUBLE not in allowed:
            return False
    return True


def _doubled(value):
    copy = type(value)()
    copy.CopyFrom(value)
    if value.type == _FLOAT:
        copy.type = _DOUBLE
    for position, kind in enumerate(value.list.type):
        if kind == _FLOAT:
            copy.list.type[position] = _DOUBLE
    return copy


def _like(value, old):
    return tf.cast(value, old.dtype) if value.dtype != old.dtype else value
