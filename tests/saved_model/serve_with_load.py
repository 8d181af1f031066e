"""Serves an export through `tf.saved_model.load`: EXPORT NAMES."""

import sys

import tensorflow as tf
from request_pipe import RequestError, serve

_, export, _ = sys.argv
model = tf.saved_model.load(export)


def run(signature, request):
    """Calls a signature by its arguments' names."""
    try:
        outputs = model.signatures[signature](
            **{name: tf.constant(value) for name, value in request.items()}
        )
    except tf.errors.OpError as error:
        raise RequestError(error.error_code, error.message) from error
    return {name: value.numpy() for name, value in outputs.items()}


serve(run)
