"""Arrays to TensorFlow's tensor message and back."""

import math

import numpy as np

from tfmeta_client.messages import Tensor

# tensorflow/core/framework/types.proto: number -> (dtype, the field its values may come in)
DTYPES = {
    1: (np.dtype("float32"), "float_val"),
    2: (np.dtype("float64"), "double_val"),
    3: (np.dtype("int32"), "int_val"),
    4: (np.dtype("uint8"), "int_val"),
    5: (np.dtype("int16"), "int_val"),
    6: (np.dtype("int8"), "int_val"),
    9: (np.dtype("int64"), "int64_val"),
    10: (np.dtype("bool"), "bool_val"),
    17: (np.dtype("uint16"), "int_val"),
    22: (np.dtype("uint32"), "uint32_val"),
    23: (np.dtype("uint64"), "uint64_val"),
}
_STRING = 7
_MOST_BYTES = 2**31  # of a message; a short one may describe a tensor of many
_NUMBERS = {dtype: number for number, (dtype, _) in DTYPES.items()}


def to_message(array: np.ndarray):
    """The message of an array.

    Raises:
        TypeError: if TensorFlow has no such dtype.
    """
    if array.dtype not in _NUMBERS:
        raise TypeError(
            f"An input must be an array of numbers. Received: dtype {array.dtype}. "
            "Convert it, e.g. by numpy.asarray(x, 'float32')."
        )
    message = Tensor(dtype=_NUMBERS[array.dtype])
    message.tensor_shape.SetInParent()
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    # Messages are little-endian, whatever the client's machine is.
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    message.tensor_content = little.tobytes()
    return message


def from_message(message) -> np.ndarray:
    """The array of a message, whichever of its two forms a server chose.

    Raises:
        ValueError: if it holds no array.
    """
    if message.dtype != _STRING and message.dtype not in DTYPES:
        raise ValueError(f"a tensor of type {message.dtype}")
    dtype, field = DTYPES.get(message.dtype, (np.dtype(object), "string_val"))
    shape = [dimension.size for dimension in message.tensor_shape.dim]
    if math.prod(shape) * dtype.itemsize > _MOST_BYTES:
        raise ValueError(f"a tensor of shape {shape}")
    if message.tensor_content:
        values = np.frombuffer(message.tensor_content, dtype.newbyteorder("<")).astype(dtype)
        return values.reshape(shape)
    values = np.array(getattr(message, field), dtype)
    missing = math.prod(shape) - len(values)
    if missing > 0:  # the last value stands for all that follow (tensor.proto)
        nothing = b"" if message.dtype == _STRING else 0
        last = values[-1] if len(values) else nothing
        values = np.concatenate([values, np.full(missing, last, dtype)])
    return values.reshape(shape)
