"""Learners that answer a query by comparing its embedding with those of the support set."""

import tensorflow as tf

from tfmeta.learners import checks
from tfmeta.learners.embedding_learner import EmbeddingLearner

# A logit of a class without an example in the support set: its probability is 0 in any float.
NEVER = -1e9
_OF_GRADIENT_STEPS = (
    "inner_rate",
    "inner_steps",
    "test_inner_steps",
    "inner_optimizer",
    "adapted",
    "inner_loss",
    "dropout",
    "rematerialize",
)


class ComparisonLearner(EmbeddingLearner):
    """An `EmbeddingLearner` that takes no gradient steps on a task: it compares.

    Subclasses define `compare`. The classes of a task may be fewer than the network's outputs:
    a class that the support set lacks gets a probability of 0.

    Args:
        network: of `EmbeddingLearner`; its last layer says how many classes a task may have, and
            how wide the embedding is (the last layer's own weights are not trained).
        **options: of `EmbeddingLearner`, but for those of gradient steps.

    Raises:
        ValueError: for an option of gradient steps.
    """

    def __init__(self, network, **options):
        wrong = [name for name in _OF_GRADIENT_STEPS if name in options]
        if wrong:
            raise ValueError(
                f"{type(self).__name__} answers by comparison, without gradient steps. "
                f"Received: {', '.join(wrong)}. Leave it out, or take tfmeta.FineTuning."
            )
        checks.check_one_answer(type(self).__name__, network)
        # One step, of rate 1, goes all the way.
        super().__init__(network, inner_rate=1.0, inner_steps=1, **options)

    def compare(self, query, support, memberships):
        """Logits of embedded queries.

        Args:
            query: embeddings [Q, F].
            support: embeddings [S, F].
            memberships: [S, ways], 1 (or the example's weight) in the column of its class.

        Returns:
            Logits [Q, ways].
        """
        raise NotImplementedError(f"{type(self).__name__} must define compare.")

    def _memberships(self, examples, dtype):
        """Memberships [S, ways] of a set of examples, from sparse or one-hot targets."""
        targets, loss = examples.targets, self.inner_loss_function
        if targets.dtype.is_integer or (loss is not None and loss.kind.target == "sparse"):
            # Keras takes labels of any type.
            targets = tf.one_hot(tf.reshape(tf.cast(targets, tf.int64), [-1]), self.ways)
        memberships = tf.cast(targets, dtype)
        ignored = None if loss is None else loss.kind.ignore_class
        if ignored is not None:
            labels = tf.cast(examples.targets, tf.int64)
            counts = tf.not_equal(tf.reshape(labels, [-1, 1]), ignored)
            memberships *= tf.cast(counts, dtype)
        if examples.weights is None:
            return memberships
        return memberships * tf.cast(examples.weights, dtype)[:, tf.newaxis]

    def get_config(self):
        config = super().get_config()
        return {name: value for name, value in config.items() if name not in _OF_GRADIENT_STEPS}
