"""The REST side: TensorFlow Serving's columnar JSON, by requests."""

import json

import numpy as np
import requests
import urllib3

from tfmeta_client.clocked_http import ClockedAdapter
from tfmeta_client.deadline import Deadline
from tfmeta_client.errors import ServingError, Unavailable, error_of_status, well_formed
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
        root_certificates: path of the certificates to trust; None: those of `requests`.
    """

    def __init__(self, target, model, version, label, api_key, root_certificates):
        self._url = f"{target.rstrip('/')}/v1/models/{model}"
        if version is not None:
            self._url += f"/versions/{version}"
        elif label is not None:
            self._url += f"/labels/{label}"
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, ClockedAdapter())
        # Given with each request: what a session holds, REQUESTS_CA_BUNDLE and .netrc override.
        self._verify = True if root_certificates is None else root_certificates
        self._auth = _Bearer(api_key)

    def predict(self, signature_name, signature, inputs, timeout):
        """Asks a signature, within `timeout` seconds: arrays by name."""
        inputs = {name: array.tolist() for name, array in inputs.items()}
        # NaN and Infinity are tokens of TensorFlow Serving's JSON, in requests and answers.
        body = json.dumps({"signature_name": signature_name, "inputs": inputs})
        answer = self._json("POST", ":predict", timeout, body.encode())
        with well_formed():
            outputs = answer["outputs"]
            if len(signature.outputs) == 1:  # a lone output comes without its name
                outputs = dict.fromkeys(signature.outputs, outputs)
            if set(outputs) != set(signature.outputs):
                raise ValueError(f"outputs {sorted(outputs)}, not {sorted(signature.outputs)}")
            return {name: _array(value, signature.outputs[name]) for name, value in outputs.items()}

    def signatures(self, timeout):
        """`{name: Signature}` of the model."""
        answer = self._json("GET", "/metadata", timeout)
        with well_formed():
            return {
                name: Signature(_specs(found.get("inputs", {})), _specs(found.get("outputs", {})))
                for name, found in answer["metadata"]["signature_def"]["signature_def"].items()
            }

    def close(self):
        """Closes the connections."""
        self._session.close()

    def _json(self, method, path, timeout, data=None):
        response = self._response(method, path, timeout, data)
        try:
            body = response.json()
        except (requests.JSONDecodeError, RecursionError):
            body = None
        if response.is_redirect:
            where = response.headers["location"]
            raise ServingError("UNKNOWN", f"The server sends to {where[:200]}. Give that address.")
        if not response.ok:
            words = body.get("error") if isinstance(body, dict) else None
            words = words or response.text or response.reason
            raise error_of_status(response.status_code, str(words))
        if body is None or (isinstance(body, dict) and "error" in body):
            raise ServingError("UNKNOWN", f"The answer is not JSON: {response.text[:200]}")
        return body

    def _response(self, method, path, timeout, data):
        deadline = Deadline(timeout)
        try:
            return self._session.request(
                method,
                self._url + path,
                data=data,
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=timeout),
                verify=self._verify,
                auth=self._auth,
                allow_redirects=False,  # a post would become a get
            )
        except requests.RequestException as error:
            # What times out within the body is a ConnectionError to `requests`.
            if isinstance(error, requests.Timeout) or deadline.is_over():
                raise deadline.exceeded() from error
            lost = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
            if isinstance(error, lost):
                raise Unavailable("UNAVAILABLE", str(error)) from error
            raise ServingError("UNKNOWN", str(error)) from error


class _Bearer(requests.auth.AuthBase):
    """The key, or nothing; either keeps `requests` from looking into .netrc."""

    def __init__(self, api_key):
        self._key = api_key

    def __call__(self, request):
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _specs(infos):
    return {name: TensorSpec(_dtype(info), _shape(info)) for name, info in infos.items()}


def _dtype(info):
    return np.dtype(_DTYPES.get(info["dtype"], object))


def _shape(info):
    shape = info["tensor_shape"]
    if shape.get("unknown_rank"):
        return None
    return tuple(int(axis["size"]) for axis in shape.get("dim", []))


def _array(value, spec):
    array = np.asarray(value, spec.dtype)
    if spec.shape is None:
        return array
    if not array.size:  # JSON has no shape for nothing
        return array.reshape([max(size, 0) for size in spec.shape])
    if not spec.holds(array.shape):
        raise ValueError(f"shape {array.shape}, not {spec.shape}")
    return array
