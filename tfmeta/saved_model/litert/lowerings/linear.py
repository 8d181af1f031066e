"""Transposes of operations that are linear in each axis of an image by itself."""

import numpy as np
import tensorflow as tf


def of_axis(upstream, axis, size, forward):
    """The gradient by an input, along one axis, of an operation that is linear along it.

    Args:
        upstream: [N, height, width, C], in `axis` the operation's outputs.
        axis: 1 or 2.
        size: of the input in that axis.
        forward: the operation on images [N, size, 1, 1], with that axis as their height.
    """
    # What the operation makes of each unit vector is its matrix [size, outputs].
    with tf.init_scope():
        units = tf.eye(size, dtype=tf.float64)[:, :, tf.newaxis, tf.newaxis]
        matrix = np.asarray(forward(units))[:, :, 0, 0]
    matrix = tf.constant(matrix, upstream.dtype)
    count, height, width, channels = upstream.shape
    if axis == 1:
        flat = tf.reshape(upstream, [count, height, width * channels])
        return tf.reshape(tf.matmul(matrix, flat), [count, size, width, channels])
    return tf.matmul(matrix, upstream)
