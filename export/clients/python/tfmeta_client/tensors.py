"""Arrays to TensorFlow's tensor message and back."""

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
    """The array of a message, whichever of its two forms a server chose."""
    dtype, field = DTYPES[message.dtype]
    shape = [dimension.size for dimension in message.tensor_shape.dim]
    if message.tensor_content:
        values = np.frombuffer(message.tensor_content, dtype.newbyteorder("<")).astype(dtype)
        return values.reshape(shape)
    values = np.array(getattr(message, field), dtype)
    missing = int(np.prod(shape)) - len(values)
    if missing > 0:  # the last value stands for all that follow (tensor.proto)
        values = np.concatenate([values, np.full(missing, values[-1] if len(values) else 0, dtype)])
    return values.reshape(shape)
