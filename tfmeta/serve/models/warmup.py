"""Warmup: the requests that a model brings, run before it takes those of clients.

As TF Serving's `servables/tensorflow/saved_model_warmup_util.cc`: each record must succeed, and
there are at most 1,000.
"""

import os
import pathlib

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from tfmeta.serve.errors import Code, ServingError, invalid, of_tensorflow
from tfmeta.serve.models.native_session import directly
from tfmeta.serve.models.tensor_protos import to_array

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000
MOST_TENSOR_BYTES = 2**31


def warm(served, path, call=directly) -> int:
    """Runs the warmup records of a version.

    Args:
        served: `ServedVersion`.
        path: its directory.
        call: how the runtime is called (`NativeSession`).

    Returns:
        The number of records; 0 where the version has no warmup file.

    Raises:
        ServingError: if a record cannot be read, or is not answered.
    """
    file = pathlib.Path(path) / WARMUP_FILE
    if not file.exists():
        return 0
    count = 0
    for request in _requests(file):
        count += 1
        if count > MOST_RECORDS:
            raise invalid(
                f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {file}"
            )
        inputs = {
            name: to_array(proto, name, MOST_TENSOR_BYTES) for name, proto in request.inputs.items()
        }
        try:
            served.run(
                request.model_spec.signature_name,
                inputs,
                list(request.output_filter),
                call=call,
            )
        except ServingError as error:
            raise ServingError(
                error.code, f"Warmup record {count} at {file} failed: {error.message}"
            ) from error
    return count


def _requests(file):
    try:
        for record in tf.compat.v1.io.tf_record_iterator(os.fsencode(file)):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if not log.HasField("predict_log"):
                raise ServingError(
                    Code.UNIMPLEMENTED,
                    f"Unsupported log_type for warmup: {log.WhichOneof('log_type')} at {file}",
                )
            yield log.predict_log.request
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record from {file}") from error
    except tf.errors.OpError as error:
        raise of_tensorflow(error) from error
