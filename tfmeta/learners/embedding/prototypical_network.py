"""Prototypical networks (Snell, Swersky, Zemel 2017)."""

import dataclasses
from typing import NamedTuple, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.adaptation import Adaptation, TaskContext
from tfmeta.learners.core.embedding import Embedding, only_present
from tfmeta.learners.core.options import SharedOptions
from tfmeta.learners.embedding.comparison import CHOSEN, refuse_gradient_steps
from tfmeta.learners.embedding.training import EpisodicGradient
from tfmeta.learners.meta_learner import MetaLearner


class Prototypes(NamedTuple):
    """What is computed once a task.

    Attributes:
        embeddings: of the support set [S, F].
        head: the dense head of the prototypes: kernel [F, ways] and bias [ways].
        start: kernel and bias before the first step.
    """

    embeddings: tf.Tensor
    head: list
    start: list


@dataclasses.dataclass(frozen=True)
class PrototypeHead(Adaptation):
    """Sets the head to the prototypes of the support set.

    The first step does it all, further ones change nothing. With a `rate_scale` below 1 a step
    goes that share of the way from the head as it is.
    """

    needs_embedding = True
    any_ways = True
    sets_prototypes = True
    inner_rate = 1.0

    def check_network(self, network) -> None:
        """Raises a ValueError for a network whose head prototypes cannot be."""
        network.embedding.check_head("PrototypicalNetwork", network.pure.network, "prototypes")

    def prepare(self, context: TaskContext) -> Prototypes:
        """The embeddings of the support set and the head that they give."""
        network = context.network
        embeddings, _, _ = network.embedding.embed(
            context.parameters.network,
            context.state.network,
            context.support,
            batch_statistics=network.batch_statistics,
        )
        memberships = network.embedding.memberships(
            context.support, embeddings.dtype, network.inner_loss
        )
        goal = prototype_head(embeddings, memberships)
        head = network.embedding.head(context.parameters.network)
        goal = [tf.cast(value, now.dtype) for value, now in zip(goal, head, strict=True)]
        start = [head[0], only_present(head[1], memberships)]
        return Prototypes(embeddings, goal, start)

    def start(self, context: TaskContext) -> list:
        """The head as it is, for the classes that have an example."""
        return context.given.start

    def step(self, context: TaskContext, index, carry) -> tuple[list, tf.Tensor]:
        """The head of the prototypes, or a share of the way there."""
        scale = context.rate_scale
        # Exact at a scale of 1, where head + scale * (goal - head) would be rounded.
        moved = [
            (1 - scale) * now + scale * then
            for now, then in zip(carry, context.given.head, strict=True)
        ]
        return moved, self._loss(context, carry)

    def finish(self, context: TaskContext, done, carry) -> list:
        """The network's weights with the head."""
        return context.network.embedding.with_head(context.parameters.network, carry)

    def support_loss(self, context: TaskContext, weights) -> tf.Tensor:
        """The loss [] of the support set, by the embeddings that are at hand."""
        return self._loss(context, context.network.embedding.head(weights))

    def _loss(self, context, head):
        embeddings, support = context.given.embeddings, context.support
        outputs = tf.cast(embeddings, head[0].dtype) @ head[0] + head[1]
        return context.network.inner_loss(support.targets, outputs, support.weights)


def compare_with_prototypes(
    query: tf.Tensor, support: tf.Tensor, memberships: tf.Tensor
) -> tf.Tensor:
    """-||f(x) - c_k||^2 + ||f(x)||^2, of queries [Q, F] for each class [Q, ways].

    Args:
        query: embeddings [Q, F].
        support: embeddings [S, F].
        memberships: [S, ways], the weight of each example in its class.
    """
    kernel, bias = prototype_head(support, memberships)
    return query @ kernel + bias


@keras.saving.register_keras_serializable("tfmeta")
class PrototypicalNetwork(MetaLearner):
    """Learns an embedding f in which a class is the mean of its support examples.

    c_k is the mean of f over the support examples of class k (equation 1), and a query is of class
    k with probability softmax(-||f(x) - c_k||^2) (equation 2). Of the squared distance, ||f(x)||^2
    is common to all classes; the rest is linear in f(x) (section 2.4), with kernel 2 c_k and bias
    -||c_k||^2. That is the adapted weight of a task: a dense head, so evaluation, `adapt` and the
    exported signatures are those of every learner, and adaptation is one step that sets the head.

    A task may have any number of classes, fewer than the network has outputs (training on more
    ways than testing, as the paper advises) or more: a class without support examples is never the
    answer (`docs/guides/any_ways.md`).

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.conv4(ways=20)
        >>> learner = tfmeta.PrototypicalNetwork(network)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=20, shots=1, queries=2, seed=0).batch(1)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a training task may have classes.
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
        **options: Unpack[SharedOptions],
    ):
        refuse_gradient_steps("PrototypicalNetwork", options)
        super().__init__(
            network,
            PrototypeHead(),
            EpisodicGradient(compare_with_prototypes),
            adapted=Embedding(network).head_paths,
            normalization=normalization,
            **options,
        )

    compare = staticmethod(compare_with_prototypes)


def prototype_head(embeddings, memberships):
    """The dense head whose logits are -||f - c_k||^2 + ||f||^2.

    Args:
        embeddings: of the support set, [S, F].
        memberships: [S, ways], the weight of each example in its class.

    Returns:
        Kernel 2 c_k [F, ways] and bias -||c_k||^2 [ways]; for a class without examples 0 and a
        bias of `never`.
    """
    totals = tf.reduce_sum(memberships, axis=0)
    sums = tf.matmul(embeddings, memberships, transpose_a=True)
    prototypes = tf.math.divide_no_nan(sums, totals)
    bias = -tf.reduce_sum(tf.square(prototypes), axis=0)
    return 2 * prototypes, only_present(bias, memberships)
