"""Laplace's approximation: a Gaussian whose precision is prior precision plus curvature.

The curvature is the generalised Gauss-Newton matrix (Schraudolph 2002; for the likelihoods here
the Fisher information), H = sum_k r_k r_k^T with a row r_k for each output of each example; that
of a network that is linear in its weights is the exact Hessian. Rows are lists of tensors
[K, *shape]. Two ways to hold H + tau I:

- `FullPrecision`: as it is, by the K x K products of the rows (few examples make few rows).
- `KroneckerPrecision`: a block a weight, each a Kronecker product, after Martens and Grosse 2015.
"""

import math
from collections.abc import Sequence

import tensorflow as tf


class FullPrecision:
    """tau I + sum_k r_k r_k^T over all weights together.

    Args:
        rows: list of tensors [K, *shape].
        prior_precision: tau.
    """

    def __init__(self, rows: Sequence[tf.Tensor], prior_precision: float):
        self._prior = prior_precision
        self._rows = [_flat(row) / math.sqrt(prior_precision) for row in rows]
        self._gram = tf.add_n([tf.matmul(row, row, transpose_b=True) for row in self._rows])

    def log_determinant(self) -> tf.Tensor:
        """log det [] of the precision: that of I + R R^T / tau, K x K, and P log tau."""
        count = tf.shape(self._gram)[0]
        small = self._gram + tf.eye(count, dtype=self._gram.dtype)
        entries = sum(row.shape[1] for row in self._rows)
        return _logdet(small) + entries * math.log(self._prior)

    def sample(self, noise: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Draws of mean 0: precision^(-1/2) times standard normal noise, lists of [n, *shape].

        With B = R / sqrt(tau) and B B^T = U s U^T, (I + B^T B)^(-1/2) is
        I - B^T U diag((1 - (1 + s)^(-1/2)) / s) U^T B.
        """
        values, vectors = _eigh(self._gram)
        # (1 - 1/sqrt(1 + s)) / s, written so that s = 0 gives 1/2.
        root = tf.sqrt(1.0 + tf.maximum(values, 0.0))
        factors = 1.0 / (root * (root + 1.0))
        flat = [_flat(drawn) for drawn in noise]
        seen = tf.add_n(
            [tf.matmul(d, row, transpose_b=True) for d, row in zip(flat, self._rows, strict=True)]
        )
        seen = (seen @ vectors * factors) @ tf.transpose(vectors)
        return [
            tf.reshape((d - seen @ row) / math.sqrt(self._prior), tf.shape(drawn))
            for d, row, drawn in zip(flat, self._rows, noise, strict=True)
        ]


class KroneckerPrecision:
    """For each weight, tau I + A (x) G / t: a block diagonal of Kronecker products.

    With a weight's rows as matrices R_k [inputs, outputs], A = sum_k R_k R_k^T, G = sum_k R_k^T
    R_k and t = sum_k |R_k|^2, and the trace equals that of the exact block. The block is
    exact where all R_k = a_k g_k^T share one g or one a (a linear output, a bias, one example). The
    factors need gradients only, so any layer has them; K-FAC takes those of layers' inputs and of
    outputs apart, under an assumption of independence that is not made here.

    Args:
        rows: list of tensors [K, *shape].
        prior_precision: tau.
    """

    def __init__(self, rows: Sequence[tf.Tensor], prior_precision: float):
        self._prior = prior_precision
        self._factors = [_kronecker_factors(row) for row in rows]

    def log_determinant(self) -> tf.Tensor:
        """log det [] of the precision: the sum of the logarithms of its eigenvalues."""
        total = []
        for left, right in self._factors:
            values = _outer(_eigvalsh(left), _eigvalsh(right))
            total.append(tf.reduce_sum(tf.math.log(self._prior + values)))
        return tf.add_n(total)

    def sample(self, noise: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Draws of mean 0: precision^(-1/2) times standard normal noise, lists of [n, *shape]."""
        drawn = []
        for (left, right), values in zip(self._factors, noise, strict=True):
            left_values, left_vectors = _eigh(left)
            right_values, right_vectors = _eigh(right)
            scale = tf.math.rsqrt(self._prior + _outer(left_values, right_values))
            shape = tf.shape(values)
            matrices = tf.reshape(values, [shape[0], left.shape[0], right.shape[0]])
            turned = left_vectors @ (matrices * scale) @ tf.transpose(right_vectors)
            drawn.append(tf.reshape(turned, shape))
        return drawn


def _kronecker_factors(rows):
    """(A / sqrt t, G / sqrt t) of rows [K, *shape]."""
    outputs = rows.shape[-1] if rows.shape.rank > 1 else 1
    inputs = max(rows.shape[1:].num_elements(), 1) // outputs
    matrices = tf.reshape(rows, [-1, inputs, outputs])
    left = tf.einsum("kio,kjo->ij", matrices, matrices)
    right = tf.einsum("kio,kip->op", matrices, matrices)
    trace = tf.linalg.trace(left)
    # A weight that no output depends on has the prior's precision.
    positive = trace > 0
    root = tf.where(positive, tf.math.rsqrt(tf.where(positive, trace, 1.0)), 0.0)
    return left * root, right * root


def _nan_unless_finite(compute):
    """A function of a matrix [n, n], NaN throughout where the matrix is not finite.

    TensorFlow's own raise there, and one task that diverged would end all tasks of its batch.
    """

    def computed(matrix):
        finite = tf.reduce_all(tf.math.is_finite(matrix))
        safe = tf.where(finite, matrix, tf.eye(tf.shape(matrix)[0], dtype=matrix.dtype))
        nan = tf.constant(math.nan, matrix.dtype)
        return tf.nest.map_structure(lambda found: tf.where(finite, found, nan), compute(safe))

    return computed


_eigh = _nan_unless_finite(tf.linalg.eigh)
_eigvalsh = _nan_unless_finite(tf.linalg.eigvalsh)
_logdet = _nan_unless_finite(tf.linalg.logdet)


def _outer(left, right):
    """Products of eigenvalues, those that rounding made negative taken as 0."""
    return tf.maximum(left, 0.0)[:, None] * tf.maximum(right, 0.0)[None, :]


def _flat(tensor):
    return tf.reshape(tensor, [-1, tensor.shape[1:].num_elements()])
