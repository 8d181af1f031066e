"""The REST side: TensorFlow Serving's columnar JSON, by requests."""

import numpy as np
import requests

from tfmeta_client.errors import DeadlineExceeded, ServingError, Unavailable, error_of_status
from tfmeta_client.signature import Signature, TensorSpec

_DTYPES = {
    "DT_BOOL": "bool",
    "DT_DOUBLE": "float64",
    "DT_FLOAT": "float32",
    "DT_INT16": "int16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_INT8": "int8",
    "DT_UINT16": "uint16",
    "DT_UINT32": "uint32",
    "DT_UINT64": "uint64",
    "DT_UINT8": "uint8",
}


class RestTransport:
    """Requests over HTTP.

    Args:
        target: "http://host:port" or "https://...".
        model: name of the served model.
        version: of the model, or None for the server's choice.
        label: of a version, in place of `version`.
        api_key: sent as a bearer token, or None.
        root_certificates: path of the certificates to trust; None: the system's.
    """

    def __init__(self, target, model, version, label, api_key, root_certificates):
        self._url = f"{target.rstrip('/')}/v1/models/{model}"
        if version is not None:
            self._url += f"/versions/{version}"
        elif label is not None:
            self._url += f"/labels/{label}"
        self._session = requests.Session()
        self._session.verify = True if root_certificates is None else root_certificates
        if api_key:
            self._session.headers["Authorization"] = f"Bearer {api_key}"

    def predict(self, signature_name, signature, inputs, timeout):
        """Asks a signature, within `timeout` seconds: arrays by name."""
        body = {
            "signature_name": signature_name,
            "inputs": {name: array.tolist() for name, array in inputs.items()},
        }
        outputs = self._json("POST", ":predict", timeout, json=body)["outputs"]
        if len(signature.outputs) == 1:  # a lone output comes without its name
            outputs = dict.fromkeys(signature.outputs, outputs)
        return {name: _array(value, signature.outputs[name]) for name, value in outputs.items()}

    def signatures(self, timeout):
        """`{name: Signature}` of the model."""
        metadata = self._json("GET", "/metadata", timeout)["metadata"]
        return {
            name: Signature(_specs(found.get("inputs", {})), _specs(found.get("outputs", {})))
            for name, found in metadata["signature_def"]["signature_def"].items()
        }

    def close(self):
        """Closes the connections."""
        self._session.close()

    def _json(self, method, path, timeout, **options):
        try:
            response = self._session.request(method, self._url + path, timeout=timeout, **options)
        except requests.Timeout as error:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", f"No answer in {timeout:.1f} s.") from error
        except requests.ConnectionError as error:
            raise Unavailable("UNAVAILABLE", str(error)) from error
        try:
            body = response.json()
        except requests.JSONDecodeError:
            body = {"error": response.text or response.reason}
        if response.ok and "error" in body:
            raise ServingError("UNKNOWN", f"The answer is not JSON: {body['error'][:200]}")
        if not response.ok:
            raise error_of_status(response.status_code, body.get("error", response.reason))
        return body


def _specs(infos):
    return {
        name: TensorSpec(
            np.dtype(_DTYPES.get(info["dtype"], object)),
            tuple(int(axis["size"]) for axis in info["tensor_shape"].get("dim", [])),
        )
        for name, info in infos.items()
    }


def _array(value, spec):
    array = np.asarray(value, spec.dtype)
    if not array.size:  # JSON has no shape for nothing
        return array.reshape([max(size, 0) for size in spec.shape])
    return array
