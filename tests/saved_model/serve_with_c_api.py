"""Serves an export through TensorFlow's C API: EXPORT NAMES LIBRARIES [with_xla] [pruned]."""

import json
import sys

from c_api_session import CApiSession
from request_pipe import serve

_, export, names, libraries, *options = sys.argv
names = json.loads(names)
session = CApiSession(libraries, export, "with_xla" not in options, "pruned" in options)


def run(signature, request):
    """Runs a signature by the names that its SignatureDef gives."""
    inputs, outputs = names[signature]["inputs"], names[signature]["outputs"]
    return session.run({inputs[name]: value for name, value in request.items()}, outputs)


serve(run)
assert "tensorflow" not in sys.modules
