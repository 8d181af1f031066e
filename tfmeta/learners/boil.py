"""BOIL (Oh, Yoo, Kim, Yun 2021): the body adapts, the head does not."""

from typing import Any, Unpack

import keras

from tfmeta.learners.core.embedding import Embedding
from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import OptionsWithNormalization
from tfmeta.learners.meta_learner import MetaLearner


@keras.saving.register_keras_serializable("tfmeta")
class BOIL(MetaLearner):
    """MAML whose inner steps leave the head as it is and move everything before it.

    The opposite of ANIL: a task changes the representation, not the classifier (section 3 of the
    paper). The head's inner rate is 0; it is learned outside.

    Example:
        >>> import tfmeta
        >>> learner = tfmeta.BOIL(tfmeta.networks.mlp(hidden=(8,)), inner_rate=0.5)
        >>> learner.adapted_paths
        ['hidden_1/kernel', 'hidden_1/bias']

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`.
        inner_rate: of the body, or a dict from patterns to rates.
        inner_steps: number of inner steps in training.
        frozen: further patterns of weights that do not adapt, such as ("norm_*",).
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`, but for `adapted`.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule", "adapted")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.5,
        inner_steps: int = 1,
        *,
        frozen: tuple[str, ...] = (),
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[OptionsWithNormalization],
    ):
        patterns = [*Embedding(network).head_paths, *frozen]
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            adapted=["!" + pattern for pattern in patterns],
            **options,
        )
        self.frozen = tuple(frozen)
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
