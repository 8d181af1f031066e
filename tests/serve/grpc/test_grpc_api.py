"""Golden transcripts of the gRPC services.

Each cites where TF Serving's behaviour is written down (tensorflow/serving at 9d981c5).
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from example_servables import classification_request
from grpc_health.v1 import health_pb2
from serving_clients import Client, predict_request
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

Code = grpc.StatusCode
HALF = "half_plus_two"
X = {"x": np.float32([1.0, 2.0])}


@pytest.fixture(scope="module")
def client(served):
    with Client(served.grpc_address) as connected:
        yield connected


def refused(call, request):
    """(code, message) of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code(), caught.value.details()


def test_a_prediction_names_model_version_and_signature(client):  # predict_util.cc:97
    response = client.prediction.Predict(predict_request(HALF, X))
    assert response.model_spec.name == HALF
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs["y"].float_val) == [2.5, 3.0]  # typed fields: predict_util.cc:177


@pytest.mark.parametrize(
    ("source", "change", "code", "message"),
    [
        (
            "core/basic_manager.cc:139",
            lambda request: setattr(request.model_spec, "name", "half"),
            Code.NOT_FOUND,
            "Servable not found for request: Latest(half)",
        ),
        (
            "core/manager.h:152",
            lambda request: setattr(request.model_spec.version, "value", 7),
            Code.NOT_FOUND,
            f"Servable not found for request: Specific({HALF}, 7)",
        ),
        (
            "model_servers/server_core.cc:890",
            lambda request: setattr(request.model_spec, "version_label", "nobody"),
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: nobody",
        ),
        (
            "model_servers/server_core.cc:843",
            lambda request: request.model_spec.ClearField("name"),
            Code.INVALID_ARGUMENT,
            "ModelSpec has no name specified.",
        ),
        (
            "servables/tensorflow/predict_impl.cc:37",
            lambda request: request.ClearField("model_spec"),
            Code.INVALID_ARGUMENT,
            "Missing ModelSpec",
        ),
        (
            "servables/tensorflow/predict_util.cc:92",
            lambda request: setattr(request.model_spec, "signature_name", "nothing"),
            Code.FAILED_PRECONDITION,
            'Serving signature key "nothing" not found.',
        ),
        (
            "servables/tensorflow/predict_util.cc:66",
            lambda request: request.ClearField("inputs"),
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
            "Missing but required: {x}.",
        ),
        (
            "servables/tensorflow/predict_util.cc:66",
            lambda request: request.inputs["z"].CopyFrom(request.inputs["x"]),
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. "
            "Missing but required: {}.",
        ),
        (
            "servables/tensorflow/predict_util.cc:140",
            lambda request: request.output_filter.append("nothing"),
            Code.INVALID_ARGUMENT,
            "output tensor alias not found in signature: nothing Outputs expected to be in the "
            "set {y}.",
        ),
        (
            "servables/tensorflow/predict_util.cc:148",
            lambda request: request.output_filter.extend(["y", "y"]),
            Code.INVALID_ARGUMENT,
            "duplicate output tensor alias: y",
        ),
    ],
)
def test_an_error_has_tf_servings_code_and_words(client, source, change, code, message):
    request = predict_request(HALF, X)
    change(request)
    assert refused(client.prediction.Predict, request) == (code, message)


def test_an_input_of_another_name_is_refused(client):  # tensorflow cc/saved_model/util.cc
    code, message = refused(client.prediction.Predict, predict_request(HALF, {"z": X["x"]}))
    assert code == Code.INVALID_ARGUMENT
    assert message.startswith("Signature input alias: x(feed name: ")


def test_a_tensor_of_another_type_is_refused_in_the_runtimes_words(client):
    code, message = refused(
        client.prediction.Predict, predict_request(HALF, {"x": np.float64([1])})
    )
    assert code == Code.INVALID_ARGUMENT
    assert message == "Expects arg[0] to be float but double is provided (input x)"


def test_a_message_is_cut_after_1024_characters(client):  # grpc_status_util.cc:25
    request = predict_request("n" * 5000, X)
    _, message = refused(client.prediction.Predict, request)
    assert message == ("Servable not found for request: Latest(" + "n" * 985 + "...TRUNCATED")
    assert len(message) == 1024 + len("...TRUNCATED")


def test_an_output_filter_chooses(client):  # predict_util.cc:133
    outputs, _ = client.predict("classifier", classification_request(), output_filter=["logits"])
    assert list(outputs) == ["logits"]


def test_a_label_names_a_version(client):  # server_core.cc:853
    request = predict_request(HALF, X)
    request.model_spec.version_label = "canary"
    assert client.prediction.Predict(request).model_spec.version.value == 123


def test_the_metadata_is_the_models_signatures(client):  # get_model_metadata_impl.cc:49
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = HALF
    response = client.prediction.GetModelMetadata(request)
    assert response.model_spec.version.value == 123
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["both"].inputs["a"].dtype == tf.float32.as_datatype_enum


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),  # :38
        (["graph"], "Metadata field graph is not supported"),  # :43
    ],
)
def test_metadata_of_another_kind_is_refused(client, fields, message):
    # servables/tensorflow/get_model_metadata_impl.cc
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = HALF
    assert refused(client.prediction.GetModelMetadata, request) == (Code.INVALID_ARGUMENT, message)


def test_the_status_lists_versions(client):  # tensorflow_model_server_test.py:97
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = HALF
    response = client.model.GetModelStatus(request)
    (status,) = response.model_version_status
    assert (status.version, status.state) == (123, 30)
    assert (status.status.error_code, status.status.error_message) == (0, "")
    request.model_spec.name = "nothing"
    assert refused(client.model.GetModelStatus, request) == (
        Code.NOT_FOUND,
        "Could not find any versions of model nothing",  # get_model_status_impl.cc:99
    )


@pytest.mark.parametrize("service", ["", "PredictionService", "ModelService"])
def test_the_health_service_says_serving(client, service):  # model_servers/server.cc:420
    answer = client.health.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_what_the_embedded_server_lacks_is_unimplemented(client):
    request = classification_pb2.ClassificationRequest()
    assert refused(client.prediction.Classify, request)[0] == Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    "value",
    [
        np.float32(3.5),
        np.zeros((0, 2), np.float32),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.full((3, 4), 7.0, np.float32),
    ],
    ids=["scalar", "empty", "matrix", "repeated"],
)
def test_any_shape_goes_there_and_back(client, value):
    outputs, _ = client.predict(HALF, {"x": value})
    np.testing.assert_array_equal(outputs["y"], value / 2 + 2)


def test_values_in_typed_fields_and_in_bytes_are_the_same(client):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = HALF
    request.inputs["x"].dtype = tf.float32.as_datatype_enum
    request.inputs["x"].tensor_shape.dim.add(size=3)
    request.inputs["x"].float_val.extend([1.0, 2.0])  # the last value is repeated
    response = client.prediction.Predict(request)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.5, 3.0, 3.0]


def test_the_same_request_has_the_same_bits(client):
    first, _ = client.predict("classifier", classification_request())
    for _ in range(3):
        again, _ = client.predict("classifier", classification_request())
        for name, value in first.items():
            np.testing.assert_array_equal(again[name], value)
