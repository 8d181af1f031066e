"""TF Serving's gRPC services on a `ModelServer`.

`PredictionService` (Predict, GetModelMetadata) and `ModelService` (GetModelStatus,
HandleReloadConfigRequest) from the official protocol buffers. What is not served answers
UNIMPLEMENTED.
"""

import time

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfmeta.serve import logs
from tfmeta.serve.configuration import is_loopback
from tfmeta.serve.errors import Code, ServingError, invalid, number
from tfmeta.serve.models.model_server import ModelSpec
from tfmeta.serve.models.served_version import DEFAULT_SIGNATURE
from tfmeta.serve.models.tensor_protos import to_array, to_proto
from tfmeta.serve.models_config import models_of

SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, models):
        self._models = models

    def Predict(self, request, context):
        """Runs a signature on the request's tensors."""
        return _answer(self._models, "Predict", request, context, self._predict)

    def GetModelMetadata(self, request, context):
        """Gives the signatures of a version."""
        return _answer(self._models, "GetModelMetadata", request, context, self._metadata)

    def _predict(self, request, context):
        spec = _spec(request)
        deadline = self._models.deadline(context.time_remaining())
        with self._models.admitted(deadline):
            if not context.is_active():
                raise ServingError(Code.CANCELLED, "The client is gone.")
            with self._models.use(spec) as version:
                return self._run(request, spec, version, deadline)

    def _run(self, request, spec, version, deadline):
        name = request.model_spec.signature_name
        version.served.signature(name).check_names(request.inputs)
        most = self._models.options.max_message_bytes
        inputs = {key: to_array(proto, key, most) for key, proto in request.inputs.items()}
        outputs = self._models.run(
            spec, version, inputs, name, list(request.output_filter), deadline
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name or DEFAULT_SIGNATURE
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(to_proto(value))
        return response

    def _metadata(self, request, context):
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        with self._models.use(spec) as version:
            return metadata_response(spec, version)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models):
        self._models = models

    def GetModelStatus(self, request, context):
        """Gives the state of each version."""
        return _answer(
            self._models,
            "GetModelStatus",
            request,
            context,
            lambda *_: status_response(self._models.status(_spec(request, named=False))),
        )

    def HandleReloadConfigRequest(self, request, context):
        """Serves the models that the request names and no others."""
        return _answer(self._models, "HandleReloadConfigRequest", request, context, self._reload)

    def _reload(self, request, context):
        options = self._models.options
        if not is_loopback(options.address) and not options.api_key:
            raise ServingError(
                Code.PERMISSION_DENIED,
                "A reload names directories of the server, so beyond loopback it needs an API key. "
                f"Received: address {options.address!r} and no key. Start the server with "
                "--api_key_file.",
            )
        chosen = request.config.WhichOneof("config")
        if chosen != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        try:
            models = models_of(request.config.model_config_list)
        except ValueError as error:
            raise invalid(str(error)) from None
        self._models.replace_models(models)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response


def metadata_response(spec, version):
    """`GetModelMetadataResponse` of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.served.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = spec.name
    response.model_spec.version.value = version.number
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def status_response(versions):
    """`GetModelStatusResponse` of `ModelServer.status`."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state, error in versions:
        status = response.model_version_status.add(version=version, state=state)
        status.status.error_code = number(error.code) if error else 0
        status.status.error_message = error.text if error else ""
    return response


def _spec(request, named=True):
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    if named and not spec.name:
        raise invalid("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return ModelSpec(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _answer(models, api, request, context, respond):
    """The response, or an abort with the error's code; counted and logged either way."""
    begin, failure, response = time.monotonic(), None, None
    try:
        response = respond(request, context)
    except ServingError as error:
        failure = error.alone()
    except Exception:
        logs.internal_error("internal_error", api=api, entrypoint="GRPC")
        failure = ServingError(Code.INTERNAL, "The server failed; its log says where.")
    seconds = time.monotonic() - begin
    code = failure.code if failure else Code.OK
    name = "" if api == "HandleReloadConfigRequest" else request.model_spec.name
    if api == "Predict":
        models.metrics.requested(name, code.name, api, "GRPC", seconds)
    logs.request(name if name in models.names else None, api, "GRPC", code.name, seconds)
    if failure:
        context.abort(failure.code, failure.grpc_message)
    return response
