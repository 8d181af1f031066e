"""UNICORN-MAML (Ye and Chao 2022): one learned vector begins the head of every class."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.embedding import only_present
from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.meta_learner import MetaLearner


@dataclasses.dataclass(frozen=True)
class SharedVector(Part):
    """Gradient steps begin with a head whose columns are one learned vector."""

    needs_embedding = True
    only_adapted = True
    any_ways = True

    def check_network(self, network) -> None:
        """Raises a ValueError for a head that does not adapt, or has constraints."""
        network.embedding.check_adapts("UnicornMAML", network.adapted)
        network.embedding.check_head("UnicornMAML", network.pure.network, "shared vectors")

    def groups(self, network) -> list[Group]:
        """The vector [F] and its bias []."""
        kernel, _ = network.embedding.head(network.pure.network.trainable_variables)
        vector = WeightSpec(
            path="head_vector/kernel",
            shape=(kernel.shape[0],),
            dtype=kernel.dtype,
            initializer="zeros",
            name="head_vector_kernel",
        )
        bias = WeightSpec("head_vector/bias", (), kernel.dtype, "zeros", "head_vector_bias")
        return [Group("head_vector", [vector, bias])]

    def start(self, context: TaskContext) -> list:
        """Values of the weights that adapt."""
        network, weights = context.network, context.parameters.network
        vector, bias = context.parameters.head_vector
        ways = network.embedding.ways
        biases = tf.repeat(bias[tf.newaxis], ways)
        kind = network.inner_loss.kind
        if kind.takes_logits and not kind.label_smoothing:
            memberships = network.embedding.memberships(
                context.support, biases.dtype, network.inner_loss
            )
            biases = only_present(biases, memberships)
        head = [tf.repeat(vector[:, tf.newaxis], ways, axis=1), biases]
        return network.chosen(network.embedding.with_head(weights, head))

    def without_gradient(self, network) -> Sequence[str]:
        """The network's own head: its initial values are not used."""
        return network.embedding.head_paths


@keras.saving.register_keras_serializable("tfmeta")
class UnicornMAML(MetaLearner):
    """MAML that does not depend on the order of the classes: every class begins alike.

    The head of each class begins at one vector, which is learned with the body (section 5 of the
    paper), so permuting a task's labels permutes its answers, and one learner serves any number of
    ways (`docs/guides/any_ways.md`): a class without support examples is never the answer. The
    vector begins at zero.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.UnicornMAML(tfmeta.networks.conv4(ways=5, filters=8), inner_rate=0.1)
        >>> learner.parameter_paths[-2:]
        ['head_vector/kernel', 'head_vector/bias']

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`.
        inner_rate: of all weights that adapt, or a dict from patterns to rates.
        inner_steps: number of inner steps in training; the paper advises 15 to 20.
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
        inner_steps: int = 5,
        *,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer, initial=SharedVector()),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
