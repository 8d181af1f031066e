"""What a stock TensorFlow Serving would refuse is refused at export, by name."""

import os

import keras
import pytest
import tensorflow as tf
from example_servables import classification, regression
from tensorflow.core.protobuf import meta_graph_pb2

import tfmeta.saved_model
from tfmeta.saved_model.stock_graph import nodes, refuse_unservable


def export(servable, folder):
    return tfmeta.saved_model.export_servable(servable, folder, warmup_sizes=[])


def refused(servable, folder):
    """The message of the refusal; nothing may be left of the export."""
    with pytest.raises(ValueError, match="An exported network must") as caught:
        export(servable, folder)
    assert os.listdir(folder) == []
    return str(caught.value)


def test_a_grouped_convolution_which_keras_compiles_is_named(tmp_path):
    layers = [
        keras.layers.Conv2D(4, 3, name="conv_1"),
        keras.layers.Conv2D(4, 3, groups=2, name="grouped_conv"),
        keras.layers.Flatten(),
    ]
    message = refused(classification(layers=layers), tmp_path)
    assert "grouped_conv" in message
    assert "jit_compile=True" in message


def test_a_function_of_the_users_that_is_compiled_is_named(tmp_path):
    @tf.function(jit_compile=True)
    def fast_loss(outputs, targets):
        return tf.reduce_mean(tf.square(outputs - targets))

    message = refused(regression(loss=fast_loss), tmp_path)
    assert "must not need XLA" in message
    assert "fast_loss" in message or "PartitionedCall" in message


@pytest.mark.parametrize("call", [tf.numpy_function, tf.py_function])
def test_a_python_function_is_named(tmp_path, call):
    def loss(outputs, targets):
        with tf.name_scope("in_python"):
            zero = call(lambda: 0.0, [], tf.float32)
        return tf.reduce_mean(tf.square(outputs - targets)) + tf.reshape(zero, [])

    message = refused(regression(loss=loss), tmp_path)
    assert "must not call Python" in message
    assert "in_python" in message


def meta_graph(op, in_function=False, **fields):
    graph = meta_graph_pb2.MetaGraphDef()
    holder = graph.graph_def.node
    if in_function:
        function = graph.graph_def.library.function.add()
        function.signature.name = "inner_function"
        holder = function.node_def
    place = holder.add()
    place.name, place.op = "layer/node", op
    for name, value in fields.items():
        setattr(place, name, value)
    return graph


@pytest.mark.parametrize("in_function", [False, True])
def test_an_operation_that_is_not_tensorflows_own_is_named(in_function):
    with pytest.raises(ValueError, match=r"own operations.*layer/node.*MyFastConvolution"):
        refuse_unservable(meta_graph("MyFastConvolution", in_function))


def test_devices_are_cleared_so_that_the_graph_runs_anywhere():
    graph = meta_graph("MatMul", in_function=True, device="/device:GPU:0")
    graph.graph_def.node.add(name="x", op="Placeholder", device="/device:CPU:0")
    refuse_unservable(graph)
    assert [node.device for _, node in nodes(graph.graph_def)] == ["", ""]
