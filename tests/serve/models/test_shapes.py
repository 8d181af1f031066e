"""Shapes are the graph's business, as in TF Serving: its own cases on a model of the same kind.

The model of its tests (`servables/tensorflow/testdata/saved_model_half_plus_two.py`) declares
[None, 1], and its tests ask with [N]. `server_test` is
`model_servers/tensorflow_model_server_test.py`, `handler_test` is
`model_servers/http_rest_api_handler_test.cc`, `predict_test` is
`servables/tensorflow/predict_impl_test.cc` (tensorflow/serving at 9d981c5).
"""

import json
import re

import example_models
import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_clients import Client, rest, rest_predict
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    regression_pb2,
)

import tfmeta.serve

DECLARED = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("declared")
    example_models.save_with_fixed_shapes(folder / "default" / "00000123")
    one = example_models.OneNumber()
    tf.saved_model.save(one, str(folder / "one" / "1"), {"serving_default": one.half})
    models = [
        tfmeta.serve.ModelConfig("default", str(folder / "default"), {"canary": 123}),
        tfmeta.serve.ModelConfig("one", str(folder / "one")),
    ]
    options = tfmeta.serve.ServerOptions(port=0, rest_api_port=0)
    with tfmeta.serve.Server(models, options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with Client(server.grpc_address) as connected:
        yield connected


ANSWERS = [
    # (source, model, where, request, answer)
    ("server_test:569", "default", "", {"instances": [2.0, 3.0, 4.0]}, [3.0, 3.5, 4.0]),
    ("server_test:592", "default", "", {"inputs": [2.0, 3.0, 4.0]}, [3.0, 3.5, 4.0]),
    ("guide:466", "default", "", {"instances": [1.0, 2.0, 5.0]}, [2.5, 3.0, 4.5]),
    ("handler_test:335", "default", "", {"instances": [[1, 2], [3, 4]]}, [[2.5, 3.0], [3.5, 4.0]]),
    ("handler_test:345", "default", "/versions/123", {"instances": [1.0, 2.0]}, [2.5, 3.0]),
    ("handler_test:355", "default", "/labels/canary", {"instances": [1.0, 2.0]}, [2.5, 3.0]),
    ("scalar", "default", "", {"inputs": 2.0}, 3.0),
    ("empty", "default", "", {"inputs": []}, []),
    ("rank 3", "default", "", {"inputs": [[[2.0]]]}, [[[3.0]]]),
    ("by placeholder", "default", "", {"signature_name": "placeholder", "instances": [2]}, [3.0]),
    ("another size", "one", "", {"inputs": [1, 2, 5]}, {"y": [2.5, 3.0, 4.5], "size": 1}),
]


@pytest.mark.parametrize(
    ("source", "model", "where", "body", "answer"), ANSWERS, ids=[each[0] for each in ANSWERS]
)
def test_rest_answers_what_the_graph_computes(server, source, model, where, body, answer):
    key = "predictions" if "instances" in body else "outputs"
    assert rest_predict(server, model, body, where) == (200, {key: answer})


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3,), (), (2, 3), (0,), (1, 1, 1)])
@pytest.mark.parametrize("signature", ["serving_default", "placeholder"])
def test_grpc_answers_what_the_graph_computes(client, signature, shape):  # server_test base:253
    x = np.full(shape, 2.0, np.float32)
    outputs, version = client.predict("default", {"x": x}, signature, output_filter=["y"])
    assert version == 123
    np.testing.assert_array_equal(outputs["y"], np.full(shape, 3.0, np.float32))


def test_a_fixed_size_is_the_graphs_business_too(client):  # server_test:171, model of TF 2
    outputs, _ = client.predict("one", {"x": np.float32([2.0, 4.0])})
    assert outputs["y"].tolist() == [3.0, 4.0]
    assert outputs["size"] == 1, "a constant of the graph since it was traced"


def test_a_shape_that_the_graph_cannot_take_is_refused_in_the_runtimes_words(server, client):
    with pytest.raises(grpc.RpcError) as caught:
        client.predict("default", {"x": np.float32([1.0, 2.0])}, "product")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    words = caught.value.details()
    # By the kernel that TensorFlow chooses for the processor: with oneDNN, and without.
    assert re.match(r"In\[0\] (ndims must be >= 2|and In\[1\] has different ndims)", words), words
    assert "{{node y3}}" in words
    status, answer = rest_predict(
        server, "default", {"signature_name": "product", "instances": [1.0, 2.0]}
    )
    assert (status, answer["error"]) == (400, words)


def test_what_is_both_fed_and_fetched_is_refused_by_the_runtime(client):
    with pytest.raises(grpc.RpcError) as caught:
        client.predict("default", {"x": np.float32([[1.0]])}, "passed_on")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "x:0 is both fed and fetched."


def test_the_metadata_still_say_what_the_model_declares(server, client):  # server_test:139, 645
    status, answer = rest(server, "GET", "/v1/models/default/metadata")
    assert status == 200
    signatures = json.loads(answer)["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["x"]["tensor_shape"] == DECLARED
    assert signatures["regress_x_to_y"]["method_name"] == "tensorflow/serving/regress"
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "default"
    response = client.prediction.GetModelMetadata(request, timeout=30)
    assert (response.model_spec.name, response.model_spec.version.value) == ("default", 123)
    assert list(response.metadata) == ["signature_def"]


def test_examples_are_unimplemented(server, client):  # server_test:158, 195, 227, 525, 547
    text = json.dumps({"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}]})
    for method in ("classify", "regress"):
        status, answer = rest(server, "POST", f"/v1/models/default:{method}", text)
        assert (status, "predict only" in answer) == (501, True)
    for call, request in (
        (client.prediction.Classify, classification_pb2.ClassificationRequest()),
        (client.prediction.Regress, regression_pb2.RegressionRequest()),
        (client.prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_serialized_examples_are_parsed_by_the_graph(client):
    """Not TF Serving's Regress, but Predict on the same signature: texts in, numbers out."""
    features = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[2.0]))}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    texts = np.array([example.SerializeToString()] * 2, object)
    outputs, _ = client.predict("default", {"inputs": texts}, "regress_x_to_y")
    assert outputs["outputs"].tolist() == [[3.0], [3.0]]


@pytest.mark.parametrize(
    ("body", "message"),
    [("", "JSON Parse error: The document is empty"), ("{", "JSON Parse error: Missing a name")],
)
def test_json_is_read_before_the_model_is_looked_up(server, body, message):  # handler.cc:159
    status, answer = rest(server, "POST", "/v1/models/nobody:predict", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith(message)
