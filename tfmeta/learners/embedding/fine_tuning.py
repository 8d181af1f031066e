"""Fine-tuning of a jointly trained network: the baseline of learning to learn."""

from typing import Any, Unpack

import keras

from tfmeta.inner import optimizers
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent
from tfmeta.learners.core.options import OptionsWithAdapted
from tfmeta.learners.embedding.training import JointGradient, check_classes
from tfmeta.learners.meta_learner import MetaLearner


@keras.saving.register_keras_serializable("tfmeta")
class FineTuning(MetaLearner):
    """Pre-trains on all training classes, then fine-tunes a fresh head on each task.

    The baseline of Ravi and Larochelle 2017 (section 5.1). The classifier of the training classes
    is left behind; the network's own last layer, as it was initialised, is the head that every
    task starts from, and plain gradient steps on the support set follow: of all weights, or of the
    head alone with `adapted="head/*"`.

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.nonconv(ways=5)
        >>> learner = tfmeta.FineTuning(network, classes=160, inner_rate=0.1, inner_steps=10)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> options = {"ways": 32, "shots": 1, "queries": 1, "seed": 0}
        >>> tasks = tfmeta.tasks.glyphs("train", label_scope="split", **options).batch(1)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a task may have classes.
        classes: number of training classes.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: gradient steps on a task's support set.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        classes: int,
        inner_rate: Any = 0.01,
        inner_steps: int = 10,
        *,
        normalization: str = "running",
        inner_optimizer: Any = "sgd",
        **options: Unpack[OptionsWithAdapted],
    ):
        optimizer = optimizers.get(inner_optimizer)
        super().__init__(
            network,
            GradientDescent(rates=FixedRates(inner_rate), optimizer=optimizer),
            JointGradient(check_classes(classes), options.get("seed", 0)),
            inner_steps=inner_steps,
            normalization=normalization,
            **options,
        )
        self.classes = classes
        self.inner_optimizer = optimizer

    @property
    def classifier_variables(self) -> list:
        """Kernel [F, classes] and bias [classes] of the classifier of the training classes."""
        return self.variables_of("classifier")
