"""Whether a LiteRT file computes what the learner does, tried on tasks before it is handed out.

The converter makes mistakes without a word, so no file is trusted. Every signature runs in the
interpreter; its answers are compared with the traced functions of the learner.
"""

import warnings

import numpy as np
import tensorflow as tf

from tfmeta.saved_model.litert.double import in_double, to_double
from tfmeta.saved_model.litert.replay import operations_of
from tfmeta.saved_model.litert.stderr import captured

# Of the largest entry of an output.
DENSE_TOLERANCE = 1e-5
# Of the distance between the network's own float32 and float64.
CONVOLUTION_FACTOR = 3.0
# More than this is never allowed by itself, however far rounding takes the network.
LARGEST_TOLERANCE = 1e-2
# How often that distance is measured on a task, by inputs that differ in their last bit.
ROUNDINGS = 4


def interpreter_of(content, threads=None):
    """An interpreter of a LiteRT file's content, as TensorFlow brings it."""
    # It announces its move to the package ai_edge_litert, and its delegate.
    with captured(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter


def distances(content, signatures, tasks, tolerance=None) -> dict:
    """Runs every signature on every task and refuses a file that disagrees.

    Args:
        content: bytes of the file.
        signatures: list of `TracedSignature`.
        tasks: list of requests: dicts with the inputs of `adapt_and_predict`.
        tolerance: greatest difference allowed, of the largest entry of an output. None: 1e-5; with
            convolutions or pooling 1e-5, or three times the distance between what the network
            computes in float32 and in float64, where that is more, and 1e-2 at most.

    Returns:
        `{signature: {output: {"distance", "allowed", "float64_distance"}}}`, of the largest entry
        of the output each; the last is None where it is not needed.

    Raises:
        ValueError: naming the first signature and output that disagree, and the distance; or if
            the interpreter cannot run the file.
    """
    try:
        return _distances(content, signatures, tasks, tolerance)
    except RuntimeError as error:  # The interpreter's, from preparing or running.
        raise ValueError(
            "A LiteRT file must run in LiteRT's interpreter. Received: a network of which the "
            f"interpreter says: {error}. Export a SavedModel (format='saved_model')."
        ) from error


def _distances(content, signatures, tasks, tolerance):
    interpreter = interpreter_of(content)
    requests = [dict(task) for task in tasks]
    found = {}
    for signature in signatures:
        run = interpreter.get_signature_runner(signature.name)
        doubled = None
        if tolerance is None and _has_windows(signature.function.graph):
            doubled = signature.replayed(in_double, to_double)
        pairs = []
        for request in requests:
            inputs = {name: request[name] for name in signature.specs}
            expected = _arrays(signature.function(**_tensors(inputs)))
            roundings = []
            if doubled:
                exact = _arrays(doubled(**_tensors(inputs)))
                nearby = [_arrays(signature.function(**_tensors(r))) for r in _rounded(inputs)]
                roundings = [(exact, answer) for answer in (expected, *nearby)]
            pairs.append((run(**inputs), expected, roundings))
            if "adapted_weights" in expected:
                request["adapted_weights"] = expected["adapted_weights"]
        found[signature.name] = {
            name: _compared(signature.name, name, pairs, tolerance) for name in pairs[0][1]
        }
    return found


def _compared(signature, output, pairs, tolerance):
    scale = max(np.max(np.abs(expected[output])) for _, expected, _ in pairs) or 1.0
    distance = max(_distance(got[output], expected[output]) for got, expected, _ in pairs) / scale
    rounding = None
    allowed = DENSE_TOLERANCE if tolerance is None else tolerance
    if pairs[0][2]:
        rounding = max(
            _distance(exact[output], answer[output])
            for _, _, roundings in pairs
            for exact, answer in roundings
        )
        rounding = float(rounding / scale)
        allowed = max(allowed, min(CONVOLUTION_FACTOR * rounding, LARGEST_TOLERANCE))
    if not distance <= allowed:
        beside = "" if rounding is None else f" (float32 differs from float64 by {rounding:.1e})"
        raise ValueError(
            "A LiteRT file must compute what the learner does. Received: signature "
            f"{signature!r}, whose {output} differ from the learner's by {distance:.1e} of the "
            f"largest, where {allowed:.1e} is allowed{beside}. Either TensorFlow's converter made "
            "another program of the network, or the network lets rounding grow. Try fewer inner "
            "steps, a larger tolerance where the distance is small, or format='saved_model'."
        )
    return {"distance": float(distance), "allowed": allowed, "float64_distance": rounding}


def _rounded(inputs):
    """The same inputs a few times, each float moved by at most its last bit.

    One run is one draw of how rounding errors fall. Where a ReLU or a maximum turns, they grow,
    and another program of the same network turns at another task.
    """
    random = np.random.default_rng(0)
    for _ in range(ROUNDINGS):
        yield {
            name: value * (1 + random.choice([-1, 0, 1], value.shape) * 2.0**-23).astype("float32")
            if value.dtype == np.float32
            else value
            for name, value in inputs.items()
        }


def _distance(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.inf if a.shape != b.shape else np.max(np.abs(a - b), initial=0.0)


def _has_windows(graph):
    return any("Conv" in op.type or "Pool" in op.type for op in operations_of(graph))


def _tensors(request):
    return {name: tf.constant(value) for name, value in request.items()}


def _arrays(outputs):
    return {name: tensor.numpy() for name, tensor in outputs.items()}
