"""The gRPC side: one channel, two methods of tensorflow.serving.PredictionService."""

import contextlib

import grpc
import numpy as np

from tfmeta_client import messages, tensors
from tfmeta_client.errors import error_of_code, well_formed
from tfmeta_client.signature import Signature, TensorSpec

_SERVICE = "/tensorflow.serving.PredictionService/"


class GrpcTransport:
    """Requests over a gRPC channel.

    Args:
        target: "host:port".
        model: name of the served model.
        version: of the model, or None for the server's choice.
        label: of a version, in place of `version`.
        api_key: sent as a bearer token, or None.
        root_certificates: PEM bytes of the certificates to trust; None: no TLS.
    """

    def __init__(self, target, model, version, label, api_key, root_certificates):
        options = [
            ("grpc.max_receive_message_length", -1),  # answers hold as much as was asked for
            ("grpc.max_send_message_length", -1),
            # Else a server that was gone for a moment is not looked for again for a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if root_certificates is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self._channel = grpc.secure_channel(target, credentials, options)
        self._headers = [("authorization", f"Bearer {api_key}")] if api_key else []
        self._model, self._version, self._label = model, version, label
        self._predict = self._method("Predict", messages.PredictResponse)
        self._metadata = self._method("GetModelMetadata", messages.MetadataResponse)

    def predict(self, signature_name, signature, inputs, timeout):
        """Asks a signature, within `timeout` seconds: arrays by name."""
        del signature  # a message says itself what it holds
        request = messages.PredictRequest()
        self._fill(request.model_spec)
        request.model_spec.signature_name = signature_name
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tensors.to_message(array))
        with _in_words():
            response = self._predict(request, timeout=timeout, metadata=self._headers)
        with well_formed():
            return {name: tensors.from_message(value) for name, value in response.outputs.items()}

    def signatures(self, timeout):
        """`{name: Signature}` of the model."""
        request = messages.MetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec)
        with _in_words():
            response = self._metadata(request, timeout=timeout, metadata=self._headers)
        with well_formed():
            found = messages.SignatureMap.FromString(response.metadata["signature_def"].value)
            return {
                name: Signature(_specs(signature.inputs), _specs(signature.outputs))
                for name, signature in found.signature_def.items()
            }

    def close(self):
        """Closes the channel."""
        self._channel.close()

    def _method(self, name, response):
        return self._channel.unary_unary(
            _SERVICE + name,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )

    def _fill(self, spec):
        spec.name = self._model
        if self._version is not None:
            spec.version.value = self._version
        elif self._label is not None:
            spec.version_label = self._label


def _specs(infos):
    return {
        name: TensorSpec(
            tensors.DTYPES[info.dtype][0] if info.dtype in tensors.DTYPES else np.dtype(object),
            None
            if info.tensor_shape.unknown_rank
            else tuple(dimension.size for dimension in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


@contextlib.contextmanager
def _in_words():
    try:
        yield
    except grpc.RpcError as error:
        raise error_of_code(error.code().name, error.details() or "") from error
