"""Matching networks (Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra 2016)."""

from typing import Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.options import OptionsWithAdapted
from tfmeta.learners.embedding.comparison import CHOSEN, NoSteps, refuse_gradient_steps
from tfmeta.learners.embedding.training import EpisodicGradient
from tfmeta.learners.meta_learner import MetaLearner

LEAST = 1e-30  # a probability whose logarithm any float holds, for classes without examples


@keras.saving.register_keras_serializable("tfmeta")
def attend(query: tf.Tensor, support: tf.Tensor, memberships: tf.Tensor) -> tf.Tensor:
    """log P(y | x) of queries for each class [Q, ways].

    Args:
        query: embeddings [Q, F].
        support: embeddings [S, F].
        memberships: [S, ways], the weight of each example in its class.
    """
    similarities = cosines(query, support)
    # An example's weight multiplies its share of the attention.
    weights = tf.reduce_sum(memberships, axis=1)
    shares = tf.exp(similarities) * weights
    attention = shares / tf.reduce_sum(shares, axis=1, keepdims=True)
    members = tf.math.divide_no_nan(memberships, weights[:, tf.newaxis])
    probabilities = attention @ members
    return tf.math.log(tf.maximum(probabilities, LEAST))


def cosines(query, support):
    """Cosine of each pair of embeddings [Q, F] and [S, F]: [Q, S]."""
    return tf.matmul(
        tf.math.l2_normalize(query, axis=1), tf.math.l2_normalize(support, axis=1), transpose_b=True
    )


@keras.saving.register_keras_serializable("tfmeta")
class MatchingNetwork(MetaLearner):
    """Learns an embedding in which attention to the support set gives a query's class.

    P(y | x) = sum_i a(x, x_i) y_i over the support set, with a the softmax over i of the cosine of
    f(x) and f(x_i) (equation 1 and section 2.1.1). One embedding f serves support and queries; the
    paper's full-context embeddings (section 2.1.2: an LSTM over the support set) are left out.
    The outputs are log P(y | x), so a softmax of them is P.

    Example:
        >>> import keras, tfmeta
        >>> learner = tfmeta.MatchingNetwork(tfmeta.networks.nonconv(ways=5))
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=5, shots=1, queries=1, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a task may have classes.
        normalization: "running", "transductive" or "inductive".
        **options: of `MetaLearner`, but for those of gradient steps.
    """

    chooses = CHOSEN
    refuses_chosen = True

    def __init__(
        self,
        network: keras.Model,
        *,
        normalization: str = "running",
        **options: Unpack[OptionsWithAdapted],
    ):
        refuse_gradient_steps("MatchingNetwork", options)
        super().__init__(
            network,
            NoSteps(attend, "MatchingNetwork", log_probabilities=True),
            EpisodicGradient(attend),
            normalization=normalization,
            **options,
        )

    compare = staticmethod(attend)
