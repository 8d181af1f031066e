"""The session of the C API: what goes in comes out, as TensorFlow's own session gives it."""

import numpy as np
import pytest
import tensorflow as tf
from kept_exports import MODELS, answers
from tensorflow.core.protobuf import saved_model_pb2

from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.models.meta_graph import signature_definitions
from tfmeta.serve.models.native_session import NativeSession
from tfmeta.serve.models.served_version import ServedVersion
from tfmeta.serve.models.warmup import warm

# Types with a kernel of Identity on a CPU, values of each.
VALUES = {
    "float32": np.float32([[1.5, np.nan], [-np.inf, 0]]),
    "float64": np.float64(2.5),
    "float16": np.float16([1, 2]),
    "bfloat16": tf.constant([1.0, 2.0], tf.bfloat16).numpy(),
    "int64": np.int64([[2**62]]),
    "uint8": np.zeros([0, 3], np.uint8),
    "bool": np.array([True, False]),
    "complex64": np.complex64([1 + 2j]),
    "string": np.array([[b"", "é".encode(), b"\xff\x00", b"x" * 1000]], object),
}


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    path = tmp_path_factory.mktemp("echo")
    specs = {t: tf.TensorSpec(None, tf.dtypes.as_dtype(t), name=t) for t in VALUES}
    function = tf.function(
        lambda **values: {name: tf.identity(value) for name, value in values.items()}
    ).get_concrete_function(**specs)
    tf.saved_model.save(tf.Module(), str(path), {"echo": function})
    session = NativeSession(path)
    yield session
    session.close()


def test_every_type_comes_back_as_it_went_in(echo):
    definition = echo.signature_defs["echo"]
    feeds = [(echo.port(definition.inputs[name].name), VALUES[name]) for name in VALUES]
    fetches = [echo.port(definition.outputs[name].name) for name in VALUES]
    for name, got in zip(VALUES, echo.run(feeds, fetches), strict=True):
        assert (got.shape, got.dtype) == (VALUES[name].shape, VALUES[name].dtype)
        np.testing.assert_array_equal(got, VALUES[name])


def test_an_array_of_another_order_is_fed_by_its_values(echo):
    definition = echo.signature_defs["echo"]
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    feeds = [
        (echo.port(definition.inputs[name].name), value if name == "float32" else VALUES[name])
        for name in VALUES
    ]
    (got,) = echo.run(feeds, [echo.port(definition.outputs["float32"].name)])
    np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize("name", ["NoOp", "nothing:0", "echo_float32:1", "", "echo_float32:x"])
def test_a_tensor_that_the_graph_lacks_has_no_port(echo, name):
    assert echo.port(name) is None


def test_the_runtime_says_what_is_wrong(echo):
    fetch = echo.port(echo.signature_defs["echo"].outputs["float32"].name)
    with pytest.raises(ServingError, match="must feed a value for placeholder") as caught:
        echo.run([], [fetch])
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_closed_session_runs_nothing(half_plus_two):
    session = NativeSession(half_plus_two)
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run([], [])


def test_signatures_are_read_without_the_graph(half_plus_two):
    text = (half_plus_two / "saved_model.pb").read_bytes()
    (whole,) = saved_model_pb2.SavedModel.FromString(text).meta_graphs
    assert signature_definitions(whole.SerializeToString()) == dict(whole.signature_def.items())
    assert signature_definitions(b"") == {}


def test_a_model_without_variables_needs_no_file_of_them(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 1], name="x")
        y = tf.identity(x + 1, name="y")
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "1"))
        definition = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"add": definition})
        builder.save()
    session = NativeSession(tmp_path / "1")
    # The placeholder says [None, 1]: as in TensorFlow Serving the graph decides, not it.
    (got,) = session.run([(session.port("x:0"), np.float32([1, 2]))], [session.port("y:0")])
    assert got.tolist() == [2, 3]
    session.close()


@pytest.mark.parametrize("model", MODELS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_export_of_an_earlier_version_is_warmed_and_answers(model):
    served = ServedVersion(model / "1")
    assert warm(served, model / "1") == 6
    inputs, expected = answers(model)["serving_default"]
    got = served.run("", inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5)
    served.close()
