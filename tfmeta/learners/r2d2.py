"""R2-D2 (Bertinetto, Henriques, Torr, Vedaldi 2019): a ridge regression as the head."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.adaptation import Adaptation, TaskContext
from tfmeta.learners.core.embedding import Embedding, check_logits, only_present
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import SharedOptions
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.learners.embedding.comparison import CHOSEN, refuse_gradient_steps
from tfmeta.learners.meta_learner import MetaLearner


class Heads(NamedTuple):
    """What is computed once a task: kernel [F, ways] and bias [ways] of two heads.

    Attributes:
        solved: by the ridge regression.
        start: before the first step.
    """

    solved: list
    start: list


@dataclasses.dataclass(frozen=True)
class RidgeHead(Adaptation):
    """W = X^T (X X^T + lambda I)^-1 Y; logits scale * x W + shift.

    The first step does it all, further ones change nothing.

    Attributes:
        regularization: where lambda starts; lambda, scale and shift are learned.
        scale: where the scale of the logits starts.
    """

    regularization: float
    scale: float = 1.0
    needs_embedding = True
    only_adapted = True
    any_ways = True

    def groups(self, network) -> list[Group]:
        """Logarithms of lambda and of the scale, and the shift."""
        dtype = network.pure.network.trainable_variables[0].dtype
        starts = {
            "log_lambda": math.log(self.regularization),
            "log_scale": math.log(self.scale),
        }
        entries = [
            WeightSpec(
                f"ridge/{name}", (), dtype, keras.initializers.Constant(value), f"ridge_{name}"
            )
            for name, value in {**starts, "shift": 0.0}.items()
        ]
        return [Group("ridge", entries)]

    def check_network(self, network) -> None:
        """Raises a ValueError for a network whose head cannot be a ridge regression."""
        network.embedding.check_head("R2D2", network.pure.network, "ridge regressions")

    def check_loss(self, network) -> None:
        """Raises a ValueError unless the loss is a cross-entropy from logits."""
        check_logits("R2D2", network.loss)

    def without_gradient(self, network) -> Sequence[str]:
        """The network's own head: its initial values are not used."""
        return network.embedding.head_paths

    def prepare(self, context: TaskContext) -> Heads:
        """The solved head, and the one before the first step."""
        log_lambda, log_scale, shift = context.parameters.ridge
        network, support = context.network, context.support
        features, _, _ = network.embedding.embed(
            context.parameters.network,
            context.state.network,
            support,
            batch_statistics=network.batch_statistics,
        )
        head = network.embedding.head(context.parameters.network)
        features = tf.cast(features, head[0].dtype)
        memberships = network.embedding.memberships(support, features.dtype, network.inner_loss)
        # Weighted least squares: a row counts by the root of its example's weight, which is 0 for
        # an ignored class.
        weights = tf.reduce_sum(memberships, axis=1, keepdims=True)
        root = tf.sqrt(weights)
        targets = tf.math.divide_no_nan(memberships, root)
        features *= root
        gram = tf.matmul(features, features, transpose_b=True)
        strength = tf.exp(tf.cast(log_lambda, gram.dtype))
        system = gram + strength * tf.eye(tf.shape(gram)[0], dtype=gram.dtype)
        kernel = tf.matmul(features, tf.linalg.solve(system, targets), transpose_a=True)
        biases = (shift * tf.ones_like(head[1]), head[1])
        solved, start = (only_present(bias, memberships) for bias in biases)
        return Heads([tf.exp(log_scale) * kernel, solved], [head[0], start])

    def start(self, context: TaskContext) -> list:
        """The head as it is, for the classes that have an example."""
        return context.given.start

    def step(self, context: TaskContext, index, carry) -> tuple[list, tf.Tensor]:
        """The solved head, or a share of the way there with a `rate_scale` below 1."""
        scale = context.rate_scale
        moved = [
            (1 - scale) * now + scale * then
            for now, then in zip(carry, context.given.solved, strict=True)
        ]
        return moved, context.loss(self.finish(context, index, carry))

    def finish(self, context: TaskContext, done, carry) -> list:
        """The network's weights with the head."""
        return context.network.embedding.with_head(context.parameters.network, carry)


@keras.saving.register_keras_serializable("tfmeta")
class R2D2(MetaLearner):
    """Learns an embedding on which a ridge regression, solved for each task, tells classes apart.

    The head is the exact solution of a ridge regression of one-hot labels on the support set's
    embeddings, through which the meta-gradient goes (equation 6 of the paper). With fewer
    examples than features the Woodbury identity makes the system as small as the support set.
    There is no inner rate. lambda, a scale and a shift of the logits are learned with the
    embedding. A task may have any number of classes: a class without support examples is never
    the answer (`docs/guides/any_ways.md`).

    Example:
        >>> import keras, tfmeta
        >>> learner = tfmeta.R2D2(tfmeta.networks.nonconv(ways=5))
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=5, shots=1, queries=1, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a training task may have classes.
        regularization: where lambda starts.
        scale: where the scale of the logits starts. The regression's targets are 0 and 1, so at 1
            probabilities of an embedding that is not trained further are close to each other.
        normalization: "transductive", "inductive" or "running".
        **options: of `MetaLearner`, but for options of gradient steps.
    """

    chooses = CHOSEN
    refuses_chosen = True

    def __init__(
        self,
        network: keras.Model,
        *,
        regularization: float = 50.0,
        scale: float = 1.0,
        normalization: str = "transductive",
        **options: Unpack[SharedOptions],
    ):
        refuse_gradient_steps("R2D2", options)
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0. Received: {regularization!r}.")
        if not scale > 0:
            raise ValueError(f"scale must be above 0. Received: {scale!r}.")
        super().__init__(
            network,
            RidgeHead(regularization, scale),
            # There are no inner gradients to go through.
            QueryGradient(first_order=True),
            adapted=Embedding(network).head_paths,
            normalization=normalization,
            **options,
        )
        self.regularization = regularization
        self.scale = scale
