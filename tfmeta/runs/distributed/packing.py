"""Many tensors as one vector a type, and back: an all-reduce has its latency whatever its size."""

import tensorflow as tf


def pack(tensors) -> dict[str, tf.Tensor]:
    """All tensors of a structure, by the name of their type, each type as one vector [n]."""
    found = {}
    for tensor in tf.nest.flatten(tensors):
        found.setdefault(tensor.dtype.name, []).append(tf.reshape(tensor, [-1]))
    return {kind: tf.concat(vectors, axis=0) for kind, vectors in found.items()}


def unpack(packed: dict[str, tf.Tensor], like):
    """The structure that `pack` took.

    Args:
        packed: of `pack`.
        like: the same structure, of tensors or specs with static shapes.
    """
    specs, tensors, begin = tf.nest.flatten(like), [], dict.fromkeys(packed, 0)
    for spec in specs:
        kind, size = spec.dtype.name, spec.shape.num_elements()
        part = packed[kind][begin[kind] : begin[kind] + size]
        tensors.append(tf.reshape(part, spec.shape))
        begin[kind] += size
    return tf.nest.pack_sequence_as(like, tensors)
