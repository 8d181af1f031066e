"""CAVIA (Zintgraf, Shiarli, Kurin, Hofmann, Whiteson 2019): only context parameters adapt."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import OptionsWithNormalization
from tfmeta.learners.core.parts import Part
from tfmeta.learners.meta_learner import MetaLearner


@dataclasses.dataclass(frozen=True)
class Zeros(Part):
    """Gradient steps begin at zero, whatever the initialisation holds."""

    only_adapted = True

    def start(self, context: TaskContext) -> list:
        """Zeros of the shapes of the weights that adapt."""
        weights = context.network.chosen(context.parameters.network)
        return [tf.zeros_like(weight) for weight in weights]

    def check_network(self, network) -> None:
        """Refuses weights that change no answer; warns of some among others that do."""
        training = network.batch_statistics
        inert = [
            path
            for index, path in zip(network.adapted, network.adapted_paths, strict=True)
            if not inner.have_effect(network.pure, [index], training=training)
        ]
        if not inert:
            return
        said = (
            "Context parameters must change the answers. Received: context parameters "
            f"{', '.join(inert)}, on which no answer depends with normalization="
            f"{network.normalization!r}. Batch normalisation takes away what they add to every "
            "example of a task alike: put a nonlinear layer between, move the context behind it, "
            "or pass normalization='running'."
        )
        if len(inert) == len(network.adapted):
            raise ValueError(said)
        warnings.warn(said, stacklevel=5)

    def without_gradient(self, network) -> Sequence[str]:
        """The weights that adapt: their initial values are not used."""
        return network.adapted_paths


@keras.saving.register_keras_serializable("tfmeta")
class CAVIA(MetaLearner):
    """MAML that adapts a few context parameters, which every task begins at zero.

    The shared weights learn outside only, and the context parameters adapt inside only (the
    paper's algorithm 1). What a task needs is a tiny vector: `adapted_weights` of the signature
    `adapt` holds nothing else. `tfmeta.networks.Context` adds context parameters to a network,
    as further inputs of the next layer.

    Example:
        >>> import keras, tfmeta
        >>> inputs = keras.Input((1,))
        >>> hidden = tfmeta.networks.Context(5, name="context")(inputs)
        >>> hidden = keras.layers.Dense(40, "relu")(hidden)
        >>> network = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        >>> learner = tfmeta.CAVIA(network, inner_rate=1.0)
        >>> learner.adapted_paths
        ['context/context']

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of the context parameters, or a dict from patterns to rates.
        inner_steps: number of inner steps in training.
        context: patterns of the context parameters.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`, but for `adapted`.

    Raises:
        ValueError: for a network whose answers do not depend on the context parameters, as where
            batch normalisation stands right behind the layer that takes them.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule", "adapted")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 1.0,
        inner_steps: int = 1,
        *,
        context: str | Sequence[str] = "context*/*",
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[OptionsWithNormalization],
    ):
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer, initial=Zeros()),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            adapted=context,
            **options,
        )
        self.context = context
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
