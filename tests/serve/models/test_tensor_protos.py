"""Tensors of messages and of NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models.tensor_protos import to_array, to_proto

MOST = 2**20
DTYPES = [
    *("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
]


def example(name, shape=(2, 3)):
    dtype = tf.dtypes.as_dtype(name).as_numpy_dtype
    return (
        (np.arange(6).reshape(shape) % 2 if name == "bool" else np.arange(6))
        .astype(dtype)
        .reshape(shape)
    )


@pytest.mark.parametrize("name", DTYPES)
def test_a_message_of_tensorflow_is_read_as_tensorflow_reads_it(name):
    value = example(name)
    for proto in (tf.make_tensor_proto(value), typed(value)):
        read = to_array(proto, "x", MOST)
        assert read.dtype == value.dtype
        np.testing.assert_array_equal(read, value)
        np.testing.assert_array_equal(read, tf.make_ndarray(proto))


def typed(value):
    """A message with its values in the typed field."""
    proto = tf.make_tensor_proto(value)
    proto.ClearField("tensor_content")
    return to_proto(value) if not proto.ListFields()[2:] else proto


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (6,), (1, 6, 1)])
def test_what_is_written_tensorflow_reads(name, shape):
    value = example(name, shape)
    proto = to_proto(value)
    assert not proto.tensor_content
    read = tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
    assert read.dtype == value.dtype
    np.testing.assert_array_equal(read, value)


def test_strings_go_both_ways():
    value = np.array([[b"a", b""], [b"\xff\0", b"d"]], object)
    assert to_array(to_proto(value), "x", MOST).tolist() == value.tolist()
    assert tf.make_ndarray(to_proto(value)).tolist() == value.tolist()


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_values_left_out_are_filled_as_tensorflow_fills_them(values):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values)
    proto.tensor_shape.dim.add(size=4)
    expected = (values + [values[-1] if values else 0.0] * 4)[:4]
    assert to_array(proto, "x", MOST).tolist() == expected


@pytest.mark.parametrize(("name", "size"), [("float32", 4), ("float64", 8), ("uint8", 1)])
def test_the_limit_is_of_bytes(name, size):
    dtype = tf.dtypes.as_dtype(name).as_numpy_dtype
    proto = tf.make_tensor_proto(np.zeros(64 // size, dtype))
    assert to_array(proto, "x", 64).nbytes == 64
    with pytest.raises(ServingError, match="at most 63 bytes"):
        to_array(proto, "x", 63)


def test_a_few_bytes_cannot_ask_for_many():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    proto.tensor_shape.dim.add(size=2**62)
    proto.tensor_shape.dim.add(size=2**62)
    with pytest.raises(ServingError, match="x must be at most") as caught:
        to_array(proto, "x", MOST)
    assert caught.value.code == Code.INVALID_ARGUMENT, "it is too large for ever"


@pytest.mark.parametrize("shape", [[0, 2**40, 2**40, 2**40], [2**40, 2**40, 0]])
def test_a_shape_of_nothing_that_no_array_can_have_is_no_tensor(shape):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(ServingError, match="tensor parsing error: x") as caught:
        to_array(proto, "x", MOST)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_shape_of_nothing_is_a_tensor():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in (0, 10**9):
        proto.tensor_shape.dim.add(size=size)
    assert to_array(proto, "x", MOST).shape == (0, 10**9)
