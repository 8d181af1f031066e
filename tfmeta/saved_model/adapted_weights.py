"""The layout of `adapted_weights`, and the fingerprint that ties it to one export.

A client that asked for `adapt` holds one float32 vector: the weights that adaptation changed, in
the order of the network's trainable weights, each row-major. It makes sense only together with
the weights that did not change, so the vector travels with a fingerprint of the whole model.
"""

import hashlib
import json
import math

import numpy as np
import tensorflow as tf

# Clients in JavaScript hold integers exactly only below 2**53, and JSON carries no more.
FINGERPRINT_BITS = 53


def layout(servable) -> list:
    """Where each adapted weight lies: dicts of path, shape, offset and size."""
    rows, offset = [], 0
    for index in servable.adapted:
        shape = tuple(int(size) for size in servable.weight_shapes[index])
        size = math.prod(shape)
        path = servable.weight_paths[index]
        rows.append({"path": path, "shape": list(shape), "offset": offset, "size": size})
        offset += size
    return rows


def vector_size(servable) -> int:
    """Number of entries of `adapted_weights`."""
    return sum(row["size"] for row in layout(servable))


def flatten(servable, weights):
    """The adapted ones of the network's weights as one float32 vector [P]."""
    flat = [
        tf.reshape(tf.cast(weights[index], tf.float32), [row["size"]])
        for index, row in zip(servable.adapted, layout(servable), strict=True)
    ]
    return tf.concat(flat, axis=0) if flat else tf.zeros([0], tf.float32)


def unflatten(servable, vector, initial_weights) -> list:
    """The network's weights: `initial_weights`, with the adapted ones taken from a vector [P]."""
    weights = list(initial_weights)
    rows = layout(servable)
    parts = tf.split(vector, [row["size"] for row in rows]) if rows else []
    for index, row, part in zip(servable.adapted, rows, parts, strict=True):
        weights[index] = tf.cast(tf.reshape(part, row["shape"]), weights[index].dtype)
    return weights


def fingerprint(servable) -> int:
    """A hash of the trained values and of what they mean, in [0, 2**53)."""
    digest = hashlib.sha256()
    meaning = {
        "learner": servable.learner,
        "kind": servable.kind,
        "target": servable.target,
        "link": servable.link,
        "normalization": servable.normalization,
        "dtype": servable.dtype,
        "layout": layout(servable),
        "output_shape": servable.output_shape,
    }
    digest.update(json.dumps(meaning, sort_keys=True).encode())
    for variable in (*servable.parameters, *servable.state):
        value = np.asarray(tf.convert_to_tensor(variable))
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> (64 - FINGERPRINT_BITS)
