"""What tests need to talk to a server: gRPC stubs, plain HTTP, and waiting with a deadline."""

import http.client
import json
import time

import grpc
import tensorflow as tf
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

PATIENCE_SECONDS = 30.0


class Client:
    """A gRPC client of a server."""

    def __init__(self, address, credentials=None):
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.channel.close()

    def predict(self, name, inputs, signature="", timeout=PATIENCE_SECONDS, **options):
        """(`{output: array}`, version)."""
        request = predict_request(name, inputs, signature, options.pop("version", None))
        request.output_filter.extend(options.pop("output_filter", ()))
        response = self.prediction.Predict(request, timeout=timeout, **options)
        outputs = {key: tf.make_ndarray(value) for key, value in response.outputs.items()}
        return outputs, response.model_spec.version.value

    def states(self, name):
        """`{version: state name}`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        names = get_model_status_pb2.ModelVersionStatus.State.Name
        response = self.model.GetModelStatus(request, timeout=PATIENCE_SECONDS)
        return {each.version: names(each.state) for each in response.model_version_status}


def predict_request(name, inputs, signature="", version=None):
    """A PredictRequest of arrays."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def rest(server, method, path, body=None, headers=None):
    """(status, body as text) of one HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "surrogateescape")
    finally:
        connection.close()


def rest_predict(server, name, body, where=""):
    """(status, JSON) of a predict call; `body` is an object or text."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    status, answer = rest(server, "POST", f"/v1/models/{name}{where}:predict", text)
    return status, json.loads(answer)


def wait_until(condition, seconds=PATIENCE_SECONDS):
    """Polls until a condition holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)
    return found
