"""Paths of TF Serving's REST API: those of its `model_servers/http_rest_api_util.cc`."""

import re
import urllib.parse

from tfmeta.serve.errors import invalid
from tfmeta.serve.models.model_server import ModelSpec

_NAMED = r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_CALL = re.compile(_NAMED + r":(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(
    _NAMED.replace("/([^/:]+)(", "(?:/([^/:]+))?(", 1) + r"(?:/(metadata))?",
    re.IGNORECASE | re.ASCII,
)
_METHODS = ("classify", "regress", "predict")
_VERSION_DIGITS = len(str(2**63))


class Call:
    """What a request asks for.

    Args:
        verb: GET, POST or another.
        method: predict, classify, regress, metadata or status.
        spec: `ModelSpec`, or None where none was read.
        path: as the client sent it.
    """

    def __init__(self, verb, method, spec, path):
        self.verb, self.method, self.spec, self.path = verb, method, spec, path


def parse_path(verb, path) -> Call:
    """The call that a verb and a path stand for.

    Args:
        verb: GET, POST or another.
        path: as the client sent it, without a query.

    Raises:
        ServingError: INVALID_ARGUMENT, in TF Serving's words.
    """
    found = None
    if verb == "POST":
        found = _CALL.fullmatch(path)
    elif verb == "GET":
        found = _GET.fullmatch(path)
    if found is None:
        raise invalid(f"Malformed request: {verb} {path}")
    name, version, label, method = found.groups()
    if name is None:
        raise invalid("Missing model name in request.")
    spec = ModelSpec(
        urllib.parse.unquote(name),
        None if version is None else _version(version),
        None if label is None else urllib.parse.unquote(label),
    )
    # The pattern ignores case, and what follows compares exactly (http_rest_api_handler.cc:82).
    if verb == "POST" and method not in _METHODS:
        raise invalid(f"Malformed request: {verb} {path}")
    if verb == "GET" and method != "metadata":
        method = "status"
    return Call(verb, method, spec, path)


def _version(digits):
    # Python refuses to convert thousands of digits, zeros in front among them.
    digits = digits.lstrip("0") or "0"
    if len(digits) > _VERSION_DIGITS or int(digits) >= 2**63:
        raise invalid(f"Failed to convert version: {digits[:100]} to numeric.")
    return int(digits)
