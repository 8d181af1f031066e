"""Nearest neighbour on the embedding of a jointly trained classifier."""

import keras
import tensorflow as tf

from tfmeta.learners.comparison_learner import NEVER, ComparisonLearner
from tfmeta.learners.joint_training import JointTraining
from tfmeta.learners.matching_network import cosines
from tfmeta.learners.support_answers import SupportAnswers


@keras.saving.register_keras_serializable("tfmeta")
class NearestNeighbor(JointTraining, SupportAnswers, ComparisonLearner):
    """Pre-trains on all training classes; a query is of its nearest support example's class.

    The baseline of Ravi and Larochelle 2017 (section 5.1). Nearest is by the cosine of embeddings,
    as in their code. A class's output is the largest cosine to one of its examples, so the
    largest output is the neighbour's class; as logits these outputs are flat, and the cross-entropy
    beside the accuracy says little.

    Args:
        network: of `EmbeddingLearner`.
        classes: number of training classes.
        **options: of `MetaLearner`, but for those of gradient steps.
    """

    def compare(self, query, support, memberships):
        """The largest cosine to an example of each class, [Q, ways]."""
        belongs = memberships > 0
        similarities = cosines(query, support)[:, :, tf.newaxis]
        never = tf.constant(NEVER, similarities.dtype)
        return tf.reduce_max(tf.where(belongs, similarities, never), axis=1)
