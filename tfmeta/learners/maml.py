"""MAML (Finn, Abbeel, Levine 2017), its first-order form, and ANIL (Raghu et al. 2020)."""

from typing import Any, Unpack

import keras

from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import QueryGradient
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.meta_learner import MetaLearner


@keras.saving.register_keras_serializable("tfmeta")
class MAML(MetaLearner):
    """Learns an initialisation from which a few gradient steps suffice.

    A task's meta-gradient is that of the query loss after adaptation, with respect to the
    initialisation, through the inner steps (algorithm 1 of the paper; its sum over tasks is a mean
    here). `first_order=True` takes the derivative of the inner gradient as 0: the query gradient
    at the adapted weights. `adapted=["head/*"]` is ANIL.

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.conv4(ways=5)
        >>> learner = tfmeta.MAML(network, inner_rate=2.0, inner_steps=1)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> tasks = tfmeta.tasks.glyphs("train", ways=5, shots=1, queries=3, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights that adapt, or a dict from patterns on weight paths ("head/*",
            "*") to rates; the first match counts.
        inner_steps: number of inner steps in training.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
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
            descent(inner_rate, inner_optimizer),
            QueryGradient(first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.first_order = first_order
        self.inner_optimizer = self.adaptation.optimizer
