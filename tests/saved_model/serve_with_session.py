"""Serves an export through a session of TensorFlow 1: EXPORT NAMES."""

import json
import sys

import tensorflow as tf
from request_pipe import RequestError, serve

_, export, names = sys.argv
names = json.loads(names)
graph = tf.Graph()
session = tf.compat.v1.Session(graph=graph)
with graph.as_default():
    tf.compat.v1.saved_model.load(session, ["serve"], export)


def run(signature, request):
    """Runs a signature by the names that its SignatureDef gives."""
    inputs = names[signature]["inputs"]
    try:
        return session.run(
            names[signature]["outputs"], {inputs[name]: value for name, value in request.items()}
        )
    except tf.errors.OpError as error:
        raise RequestError(error.error_code, error.message) from error


serve(run)
