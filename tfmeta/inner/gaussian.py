"""Gaussians with a diagonal covariance over lists of weights."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class DiagonalGaussian(NamedTuple):
    """Independent normal numbers, one an entry of each weight.

    Attributes:
        means: list of tensors.
        log_variances: list of tensors, shapes of `means`.
    """

    means: list
    log_variances: list

    def sample(self, noise: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Means plus deviations times noise.

        Args:
            noise: list of standard normal tensors [n, *shape].

        Returns:
            List of tensors [n, *shape], through which derivatives flow.
        """
        return [
            mean + tf.exp(0.5 * log_variance) * drawn
            for mean, log_variance, drawn in zip(self.means, self.log_variances, noise, strict=True)
        ]


def kl_divergence(q: DiagonalGaussian, p: DiagonalGaussian) -> tf.Tensor:
    """KL(q || p) [], in nats, summed over all entries of all weights."""
    terms = [
        tf.reduce_sum(
            log_p
            - log_q
            - 1.0
            + tf.exp(log_q - log_p)
            + tf.square(mean_q - mean_p) * tf.exp(-log_p)
        )
        for mean_q, log_q, mean_p, log_p in zip(*q, *p, strict=True)
    ]
    return 0.5 * tf.add_n(terms)
