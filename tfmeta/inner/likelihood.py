"""What a loss says of probabilities: log-likelihoods, and the predictive of several samples.

A cross-entropy is the negative log-likelihood of a categorical or Bernoulli distribution, a
squared error (up to scale and a constant) that of a Gaussian, whose deviation has to be given.
"""

import dataclasses
import math

import keras
import tensorflow as tf

from tfmeta.inner.loss_kinds import LossKind, kind_of
from tfmeta.inner.losses import element_presence, masks_of, with_mask

# The functions under losses that are likelihoods.
_LIKELIHOODS = (
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.binary_crossentropy,
    keras.losses.mean_squared_error,
)


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """p(target | output) of a Keras loss.

    Attributes:
        link: "softmax", "sigmoid", or "identity" for a Gaussian around the output.
        from_logits: False where a classifier's outputs are probabilities already.
        noise: standard deviation of the Gaussian, in the unit of the targets.
        kind: the loss's `inner.LossKind`, whose ignored class has no likelihood.
    """

    link: str
    from_logits: bool = True
    noise: float = 1.0
    kind: LossKind = dataclasses.field(default_factory=LossKind)

    @classmethod
    def of(cls, loss, noise):
        """The likelihood whose negative logarithm a loss is.

        Args:
            loss: a `keras.losses.Loss`, its name, or its function.
            noise: standard deviation of the Gaussian of a squared error.

        Raises:
            ValueError: if the loss is no likelihood that is known here.
        """
        kind = kind_of(loss)
        if not any(kind.function is function for function in _LIKELIHOODS):
            raise ValueError(
                "A probabilistic learner needs a loss that is a likelihood: a cross-entropy or the "
                f"mean squared error. Received: {getattr(loss, 'name', loss)!r}. Compile with one "
                "of them."
            )
        return cls(kind.link, kind.from_logits, noise, kind)

    def predictions(self, outputs):
        """Probabilities of raw outputs [..., Q, ...]; a regression's outputs as they are."""
        if self.link == "identity" or not self.from_logits:
            return outputs
        return tf.nn.softmax(outputs) if self.link == "softmax" else tf.sigmoid(outputs)

    def combined(self, outputs):
        """Raw outputs [Q, ...] of the mean prediction of samples [n, Q, ...], with their mask."""
        masks = [mask[0] for mask in masks_of(outputs)]
        return with_mask(self._combined(outputs), *masks)

    def _combined(self, outputs):
        if self.link == "identity" or not self.from_logits:
            return tf.reduce_mean(outputs, axis=0)
        if self.link == "softmax":
            return log_mean_exp(tf.nn.log_softmax(outputs))
        return log_mean_exp(tf.math.log_sigmoid(outputs)) - log_mean_exp(
            tf.math.log_sigmoid(-outputs)
        )

    def log_density(self, targets, outputs):
        """log p(target | output) of each example.

        Args:
            targets: [Q, ...], as the loss takes them.
            outputs: raw outputs [n, Q, ...], with their mask, if there is one.

        Returns:
            [n, Q], summed over the axes of an output; masked and ignored elements add nothing.
        """
        presence = element_presence(self.kind, targets[tf.newaxis], outputs)
        if self.kind.target == "sparse":
            targets = tf.cast(targets, tf.int64)  # Keras takes labels of any type.
            if targets.shape.rank == outputs.shape.rank - 1:  # [Q, 1] for [n, Q, ways]
                targets = tf.squeeze(targets, axis=-1)
            targets = tf.one_hot(targets, outputs.shape[-1])
        targets = tf.cast(targets, outputs.dtype)
        if targets.shape.rank == outputs.shape.rank - 2:  # [Q] for [n, Q, 1]
            targets = targets[..., tf.newaxis]
        values = self._elementwise(targets, outputs)
        if presence is not None:
            values = tf.reduce_sum(values, axis=-1) * presence
        return tf.reduce_sum(values, axis=list(range(2, values.shape.rank)))

    def curvature_roots(self, outputs, weights=None, presence=None):
        """Directions d_k with sum_k d_k d_k^T the curvature of -log p at the outputs of a set.

        That of an output f is 1 / noise^2 for a Gaussian, p (1 - p) for a Bernoulli, and for a
        categorical distribution diag(p) - p p^T = L L^T with L = diag(sqrt p) - p sqrt(p)^T.

        Args:
            outputs: logits, or a regression's outputs, [N, ...].
            weights: [N] or None; weights of the examples' log-likelihoods.
            presence: `inner.element_presence` [N, ...] of the set, or None.

        Returns:
            [K, N, ...], K the number of entries of `outputs`.

        Raises:
            ValueError: for outputs that are probabilities.
        """
        if not self.from_logits and self.link != "identity":
            raise ValueError(
                "Curvature is taken in logits. Received: a loss with from_logits=False. Leave the "
                "last activation out, and compile with a cross-entropy of from_logits=True."
            )
        shape = tf.shape(outputs)
        flat = tf.reshape(outputs, [-1, outputs.shape[-1]])
        root = self._curvature_root(flat)
        if weights is not None:
            repeats = tf.shape(flat)[0] // shape[0]
            root *= tf.sqrt(tf.repeat(tf.cast(weights, root.dtype), repeats))[:, None, None]
        if presence is not None:
            root *= tf.reshape(tf.cast(presence, root.dtype), [-1, 1, 1])
        # Row i's directions are 0 at every other row.
        rows = tf.eye(tf.shape(flat)[0], dtype=flat.dtype)
        directions = tf.einsum("ij,ick->ikjc", rows, root)
        return tf.reshape(directions, tf.concat([[-1], shape], axis=0))

    def _curvature_root(self, flat):
        """L [rows, classes, K] with L L^T the curvature at each row of outputs [rows, classes]."""
        if self.link == "identity":
            return tf.linalg.diag(tf.ones_like(flat) / self.noise)
        if self.link == "sigmoid":
            return tf.linalg.diag(tf.sqrt(tf.sigmoid(flat) * tf.sigmoid(-flat)))
        p = tf.nn.softmax(flat)
        return tf.linalg.diag(tf.sqrt(p)) - p[:, :, None] * tf.sqrt(p)[:, None, :]

    def _elementwise(self, targets, outputs):
        if self.link == "identity":
            constant = math.log(self.noise) + 0.5 * math.log(2 * math.pi)
            return -0.5 * tf.square((targets - outputs) / self.noise) - constant
        if self.link == "softmax":
            logs = tf.nn.log_softmax(outputs) if self.from_logits else _safe_log(outputs)
            return targets * logs
        if self.from_logits:
            positive, negative = tf.math.log_sigmoid(outputs), tf.math.log_sigmoid(-outputs)
        else:
            positive, negative = _safe_log(outputs), _safe_log(1.0 - outputs)
        return targets * positive + (1.0 - targets) * negative


def log_mean_exp(values):
    """log of the mean of exp over the first axis."""
    count = tf.cast(tf.shape(values)[0], values.dtype)
    return tf.reduce_logsumexp(values, axis=0) - tf.math.log(count)


def _safe_log(probabilities):
    return tf.math.log(tf.maximum(probabilities, probabilities.dtype.as_numpy_dtype(1e-30)))
