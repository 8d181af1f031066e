"""Proto-MAML (Triantafillou et al. 2020): the head begins at the support set's prototypes."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.embedding import check_logits
from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Part
from tfmeta.learners.embedding.prototypical_network import prototype_head
from tfmeta.learners.meta_learner import MetaLearner


@dataclasses.dataclass(frozen=True)
class PrototypeStart(Part):
    """Gradient steps begin at the initialisation, its head replaced by prototypes."""

    needs_embedding = True
    only_adapted = True
    any_ways = True

    def check_network(self, network) -> None:
        """Raises a ValueError for a network whose head prototypes cannot be."""
        network.embedding.check_adapts("ProtoMAML", network.adapted)
        network.embedding.check_head("ProtoMAML", network.pure.network, "prototypes")

    def check_loss(self, network) -> None:
        """Raises a ValueError unless the loss is a cross-entropy from logits."""
        check_logits("ProtoMAML", network.loss)

    def start(self, context: TaskContext) -> list:
        """Values of the weights that adapt."""
        network, weights = context.network, context.parameters.network
        features, _, _ = network.embedding.embed(
            weights,
            context.state.network,
            context.support,
            batch_statistics=network.batch_statistics,
        )
        memberships = network.embedding.memberships(
            context.support, features.dtype, network.inner_loss
        )
        head = prototype_head(features, memberships)
        head = [
            tf.cast(value, now.dtype)
            for value, now in zip(head, network.embedding.head(weights), strict=True)
        ]
        return network.chosen(network.embedding.with_head(weights, head))

    def without_gradient(self, network) -> Sequence[str]:
        """The head: its initial values are not used."""
        return network.embedding.head_paths


@keras.saving.register_keras_serializable("tfmeta")
class ProtoMAML(MetaLearner):
    """MAML whose head begins, task by task, as a prototypical network's.

    With c_k the mean embedding of the support examples of class k, the head begins at kernel
    2 c_k and bias -||c_k||^2 (section 3 of the paper); gradient steps on all weights follow, and
    the meta-gradient goes through the prototypes. A task may have any number of classes: a class
    without support examples is never the answer (`docs/guides/any_ways.md`).

    Example:
        >>> import keras, tfmeta
        >>> learner = tfmeta.ProtoMAML(tfmeta.networks.nonconv(ways=5), inner_rate=0.1)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=5, shots=1, queries=1, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a training task may have classes.
        inner_rate: of all weights that adapt, or a dict from patterns to rates.
        inner_steps: number of inner steps in training.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`; the head must be among the weights that adapt.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 1,
        *,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer, initial=PrototypeStart()),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
