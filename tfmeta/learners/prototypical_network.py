"""Prototypical networks (Snell, Swersky, Zemel 2017)."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.comparison_learner import NEVER, ComparisonLearner
from tfmeta.learners.episodic_training import EpisodicTraining
from tfmeta.learners.pure_functions import Adaptation


@keras.saving.register_keras_serializable("tfmeta")
class PrototypicalNetwork(EpisodicTraining, ComparisonLearner):
    """Learns an embedding f in which a class is the mean of its support examples.

    c_k is the mean of f over the support examples of class k (equation 1), and a query is of class
    k with probability softmax(-||f(x) - c_k||^2) (equation 2). Of the squared distance, ||f(x)||^2
    is common to all classes; the rest is linear in f(x) (section 2.4), with kernel 2 c_k and bias
    -||c_k||^2. That is the adapted weight of a task: a dense head, so evaluation, `adapt` and the
    exported signatures are those of every learner, and adaptation is one step that sets the head.

    A task may have fewer classes than the network has outputs (training on more ways than testing,
    as the paper advises): a class without support examples is never the answer.

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.conv4(ways=20)
        >>> learner = tfmeta.PrototypicalNetwork(network)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=20, shots=1, queries=2, seed=0).batch(1)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: of `EmbeddingLearner`.
        **options: of `MetaLearner`, but for those of gradient steps.
    """

    def __init__(self, network, **options):
        super().__init__(network, **options)
        self._adapted = list(self._head_indices)
        head = [network.trainable_variables[index] for index in self._head_indices]
        checks.check_constraints(
            inner.Projection(head).paths, "prototypes set the head without regard to them"
        )

    def compare(self, query, support, memberships):
        """-||f(x) - c_k||^2 + ||f(x)||^2, of queries [Q, F] for each class [Q, ways]."""
        kernel, bias = prototype_head(support, memberships)
        return query @ kernel + bias

    def adapt_weights(
        self,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        observe=None,
        training=False,
    ) -> Adaptation:
        """Sets the head to that of the prototypes; see `PureFunctions`.

        The first step does it all, further ones change nothing. Of a `rate_scale` below 1 a step
        goes that share of the way from the head as it is.
        """
        weights = list(parameters)
        head = [weights[index] for index in self._head_indices]
        embeddings, _, _ = self._embed(
            weights,
            self._network_state(state),
            support.inputs,
            support.weights,
            batch_statistics=self.normalization != "running",
        )
        memberships = self._memberships(support, embeddings.dtype)
        prototypes = prototype_head(embeddings, memberships)
        goal = [tf.cast(value, now.dtype) for value, now in zip(prototypes, head, strict=True)]

        def support_loss(head):
            outputs = tf.cast(embeddings, head[0].dtype) @ head[0] + head[1]
            return self.inner_loss_function(support.targets, outputs, support.weights)

        def step(index, head, goal):
            # Exact at a scale of 1, where head + scale * (goal - head) would be rounded.
            moved = [
                (1 - rate_scale) * now + rate_scale * then
                for now, then in zip(head, goal, strict=True)
            ]
            return moved, support_loss(head)

        head, losses, records = inner.run_steps(
            step,
            head,
            inner_steps,
            constants=goal,
            record=observe and (lambda done, head: observe(self._filled(weights, head))),
        )
        losses_after = tf.concat([losses, [support_loss(head)]], axis=0)
        return Adaptation(self._filled(weights, head), losses_after, list(state), records, losses)


def prototype_head(embeddings, memberships):
    """The dense head whose logits are -||f - c_k||^2 + ||f||^2.

    Args:
        embeddings: of the support set, [S, F].
        memberships: [S, ways], the weight of each example in its class.

    Returns:
        Kernel 2 c_k [F, ways] and bias -||c_k||^2 [ways]; for a class without examples 0 and a
        bias of `NEVER`.
    """
    totals = tf.reduce_sum(memberships, axis=0)
    sums = tf.matmul(embeddings, memberships, transpose_a=True)
    prototypes = tf.math.divide_no_nan(sums, totals)
    bias = -tf.reduce_sum(tf.square(prototypes), axis=0)
    return 2 * prototypes, tf.where(totals > 0, bias, tf.constant(NEVER, bias.dtype))
