"""Stein variational gradient descent (Liu and Wang 2016) on lists of stacked weights."""

import itertools
import math
from collections.abc import Sequence

import tensorflow as tf


def svgd_direction(
    particles: Sequence[tf.Tensor], gradients: list[tf.Tensor], temperature: float
) -> list[tf.Tensor]:
    """The direction that particles descend towards the density proportional to exp(-loss / T).

    The paper's update (algorithm 1), phi(x) = 1/M sum_j [k(x_j, x) grad log p(x_j) +
    grad_{x_j} k(x_j, x)] with k(x, y) = exp(-||x - y||^2 / h), times -T: so the loss keeps its
    scale, and a temperature of 0 leaves the repulsion out. The bandwidth is the paper's
    h = med^2 / log M, med the median distance of two particles; h is a function of the particles,
    through which derivatives flow. One particle descends its gradient.

    Args:
        particles: list of tensors [M, *shape]; together the coordinates of M particles.
        gradients: list of tensors [M, *shape]: each particle's gradient of its loss.
        temperature: T, 0 or more.

    Returns:
        List of tensors [M, *shape].
    """
    count = particles[0].shape[0]
    if count == 1:
        return gradients
    distances = squared_distances(particles)
    bandwidth = _median_of_pairs(distances) / math.log(count)
    # Particles at one place: a kernel of 1, which repels none.
    kernel = tf.exp(-tf.math.divide_no_nan(distances, bandwidth))
    # The gradient of k(x_j, x_i) with respect to x_j, summed over j, is
    # 2/h (x_i sum_j k_ij - sum_j k_ij x_j).
    strength = tf.math.divide_no_nan(tf.constant(2.0 * temperature, kernel.dtype), bandwidth)
    laplacian = tf.linalg.diag(tf.reduce_sum(kernel, axis=1)) - kernel

    def direction(positions, gradient):
        flat = [tf.reshape(tensor, [count, -1]) for tensor in (positions, gradient)]
        moved = (kernel @ flat[1] - strength * (laplacian @ flat[0])) / count
        return tf.reshape(moved, tf.shape(positions))

    return [direction(x, g) for x, g in zip(particles, gradients, strict=True)]


def squared_distances(particles):
    """Squared distances [M, M] of M particles, a list of tensors [M, *shape]."""
    flat = [tf.reshape(tensor, [tensor.shape[0], -1]) for tensor in particles]
    # From the centre, so that what all particles share does not cancel in the last digits.
    flat = [tensor - tf.reduce_mean(tensor, axis=0, keepdims=True) for tensor in flat]
    gram = tf.add_n([tf.matmul(tensor, tensor, transpose_b=True) for tensor in flat])
    norms = tf.linalg.diag_part(gram)
    distances = norms[:, None] + norms[None, :] - 2.0 * gram
    return tf.maximum(distances, 0.0)


def _median_of_pairs(distances):
    """The median above the diagonal; of an even number, the mean of the middle two."""
    count = distances.shape[0]
    flat = tf.reshape(distances, [-1])
    pairs = [i * count + j for i, j in itertools.combinations(range(count), 2)]
    # A selection by products: a vectorised map would run a scatter one task at a time.
    values = tf.linalg.matvec(tf.one_hot(pairs, count * count, dtype=flat.dtype), flat)
    order = tf.math.top_k(tf.stop_gradient(values), k=len(pairs)).indices
    middle = order[(len(pairs) - 1) // 2 : len(pairs) // 2 + 1]
    chosen = tf.one_hot(middle, len(pairs), dtype=flat.dtype)
    return tf.reduce_mean(tf.linalg.matvec(chosen, values))
