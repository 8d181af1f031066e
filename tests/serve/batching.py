"""TF Serving's batching of requests, in a few lines.

What `batching/batching_session.cc` and `batching_util.cc` of TF Serving do with
`--enable_batching`: the inputs of several requests are joined along dimension 0, run as one, and
the outputs cut apart again by each request's length. Messages are those there.
"""

import numpy as np


class BatchingError(Exception):
    """What all requests of a batch get where it cannot be joined, run or cut."""


def run_batch(run, requests, allowed_batch_size=None):
    """Answers requests as one batch.

    Args:
        run: function from `{name: array}` to `{name: array}`.
        requests: list of `{name: array}`.
        allowed_batch_size: the batch is filled up to it with copies of a real row.

    Returns:
        List of `{name: array}`.
    """
    sizes = [batch_size(request) for request in requests]
    total = sum(sizes)
    padding = max(0, (allowed_batch_size or 0) - total)
    joined = {}
    for name in requests[0]:
        parts = [request[name] for request in requests]
        parts += [parts[0][:1]] * padding
        if len({part.shape[1:] for part in parts}) > 1:
            raise BatchingError("Tensors with different shapes cannot be concatenated.")
        joined[name] = np.concatenate(parts)
    outputs = run(joined)
    for value in outputs.values():
        if value.ndim == 0:
            raise BatchingError("Batched output tensor has 0 dimensions")
        if len(value) != total + padding:
            raise BatchingError(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors"
            )
    cuts = np.cumsum([*sizes, padding])[:-1]
    pieces = {name: np.split(value, cuts) for name, value in outputs.items()}
    return [{name: pieces[name][index] for name in pieces} for index in range(len(requests))]


def batch_size(request):
    """The length that all inputs of a request share."""
    if any(np.ndim(value) == 0 for value in request.values()):
        raise BatchingError("Batching Run() input tensors must have at least one dimension")
    lengths = {len(value) for value in request.values()}
    if len(lengths) > 1:
        raise BatchingError("Batching Run() input tensors must have equal 0th-dimension size")
    return lengths.pop()
