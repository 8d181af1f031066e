"""Nearest neighbour on the embedding of a jointly trained classifier."""

from typing import Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.embedding import never
from tfmeta.learners.core.options import OptionsWithAdapted
from tfmeta.learners.embedding.comparison import CHOSEN, NoSteps, refuse_gradient_steps
from tfmeta.learners.embedding.matching_network import cosines
from tfmeta.learners.embedding.training import JointGradient, check_classes
from tfmeta.learners.meta_learner import MetaLearner


@keras.saving.register_keras_serializable("tfmeta")
def nearest(query: tf.Tensor, support: tf.Tensor, memberships: tf.Tensor) -> tf.Tensor:
    """The largest cosine to an example of each class, [Q, ways].

    Args:
        query: embeddings [Q, F].
        support: embeddings [S, F].
        memberships: [S, ways], the weight of each example in its class.
    """
    belongs = memberships > 0
    similarities = cosines(query, support)[:, :, tf.newaxis]
    absent = tf.constant(never(similarities.dtype), similarities.dtype)
    return tf.reduce_max(tf.where(belongs, similarities, absent), axis=1)


@keras.saving.register_keras_serializable("tfmeta")
class NearestNeighbor(MetaLearner):
    """Pre-trains on all training classes; a query is of its nearest support example's class.

    The baseline of Ravi and Larochelle 2017 (section 5.1). Nearest is by the cosine of embeddings,
    as in their code. A class's output is the largest cosine to one of its examples, so the
    largest output is the neighbour's class; as logits these outputs are flat, and the cross-entropy
    beside the accuracy says little.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.NearestNeighbor(tfmeta.networks.conv4(ways=5, filters=8), classes=160)
        >>> learner.inner_steps  # it compares, and takes no gradient steps
        1

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a task may have classes.
        normalization: "running", "transductive" or "inductive".
        classes: number of training classes.
        **options: of `MetaLearner`, but for those of gradient steps.
    """

    chooses = CHOSEN
    refuses_chosen = True

    def __init__(
        self,
        network: keras.Model,
        classes: int,
        *,
        normalization: str = "running",
        **options: Unpack[OptionsWithAdapted],
    ):
        refuse_gradient_steps("NearestNeighbor", options)
        super().__init__(
            network,
            NoSteps(nearest, "NearestNeighbor"),
            JointGradient(check_classes(classes), options.get("seed", 0)),
            normalization=normalization,
            **options,
        )
        self.classes = classes

    compare = staticmethod(nearest)

    @property
    def classifier_variables(self) -> list:
        """Kernel [F, classes] and bias [classes] of the classifier of the training classes."""
        return self.variables_of("classifier")
