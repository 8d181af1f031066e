"""Tensors between `TensorProto` and NumPy, within a limit of bytes.

An answer carries its values in the typed fields (`float_val`), as TF Serving's does unless told
otherwise (`AsProtoField`, `servables/tensorflow/predict_util.cc`). What a message may leave out
is filled as TensorFlow fills it: fewer values than elements repeat the last one, none are zeros.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tfmeta.serve.errors import invalid, too_large

_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
}
_SIXTEEN_BITS = (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)
# Packed fields of fixed width are the array's own bytes behind a tag and a length; writing them
# so is some hundred times quicker than adding the values one by one.
_PACKED_TAGS = {types_pb2.DT_FLOAT: b"\x2a", types_pb2.DT_DOUBLE: b"\x32"}
_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


def type_name(dtype) -> str:
    """A type's name as TensorFlow's runtime says it (`DataTypeString`)."""
    return _NAMES.get(dtype.name, dtype.name)


def array_type_name(dtype) -> str:
    """The same for NumPy's type of an array; half-precision and strings included."""
    return "string" if dtype.kind in "OSU" else type_name(tf.dtypes.as_dtype(dtype))


def to_array(proto, name, most_bytes) -> np.ndarray:
    """The array of a `TensorProto`.

    Args:
        proto: the message, of any origin.
        name: the input's name, for errors.
        most_bytes: largest tensor; a message of a few bytes may describe one of many.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no tensor or too large.
    """
    if proto.dtype not in _FIELDS or proto.tensor_shape.unknown_rank:
        raise invalid(f"tensor parsing error: {name}")
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if any(size < 0 for size in shape) or len(shape) > 32:
        raise invalid(f"tensor parsing error: {name}")
    dtype = np.dtype(tf.dtypes.as_dtype(proto.dtype).as_numpy_dtype)
    elements = math.prod(shape)
    if not elements and math.prod(filter(None, shape)) * dtype.itemsize >= 2**63:
        raise invalid(f"tensor parsing error: {name}")  # NumPy has no array of such a shape
    if elements * dtype.itemsize > most_bytes:
        raise too_large(
            f"{name} must be at most {most_bytes} bytes. Received: shape {shape}. Send less in "
            "one request, or start the server with a higher --max_message_bytes.",
        )
    if proto.dtype != types_pb2.DT_STRING and proto.tensor_content:
        if len(proto.tensor_content) != elements * dtype.itemsize:
            raise invalid(f"tensor parsing error: {name}")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    return _of_field(proto, name, dtype, elements).reshape(shape)


def _of_field(proto, name, dtype, elements):
    values = getattr(proto, _FIELDS[proto.dtype])[:elements]
    try:
        if proto.dtype in _SIXTEEN_BITS:
            values = np.array(values, np.uint16).view(dtype)
        elif proto.dtype == types_pb2.DT_STRING:
            values = np.array([*values, None], object)[:-1]  # None: an array even of equal bytes
        else:
            values = np.array(values, np.int64 if dtype.kind in "iu" else dtype)
            values = values.astype(dtype, copy=False)
    except (OverflowError, ValueError, TypeError):
        if proto.dtype != types_pb2.DT_UINT64:
            raise invalid(f"tensor parsing error: {name}") from None
        values = np.array(values, np.uint64)
    if len(values) == elements:
        return values
    if len(values) == 0:
        return np.full(elements, b"" if dtype.kind == "O" else 0, dtype)
    return np.concatenate([values, np.repeat(values[-1:], elements - len(values))])


def to_proto(array) -> tensor_pb2.TensorProto:
    """The message of an array."""
    dtype = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    if array.dtype.kind in "OSU":
        dtype = types_pb2.DT_STRING
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype in _PACKED_TAGS:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        raw = little.tobytes()
        if raw:
            proto.MergeFromString(_PACKED_TAGS[dtype] + _varint(len(raw)) + raw)
    elif dtype in _SIXTEEN_BITS:
        proto.half_val.extend(array.reshape(-1).view(np.uint16).tolist())
    else:
        getattr(proto, _FIELDS[dtype]).extend(array.reshape(-1).tolist())
    return proto


def _varint(number):
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])
