"""Fine-tuning of a jointly trained network: the baseline of learning to learn."""

import keras

from tfmeta.learners.embedding_learner import EmbeddingLearner
from tfmeta.learners.joint_training import JointTraining


@keras.saving.register_keras_serializable("tfmeta")
class FineTuning(JointTraining, EmbeddingLearner):
    """Pre-trains on all training classes, then fine-tunes a fresh head on each task.

    The baseline of Ravi and Larochelle 2017 (section 5.1). The classifier of the training classes
    is left behind; the network's own last layer, as it was initialised, is the head that every
    task starts from, and plain gradient steps on the support set follow: of all weights, or of the
    head alone with `adapted="head/*"`.

    Example:
        >>> import keras, tfmeta
        >>> network = tfmeta.networks.conv4(ways=5, filters=8)
        >>> learner = tfmeta.FineTuning(network, classes=160, inner_rate=0.1, inner_steps=10)
        >>> learner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> options = {"ways": 32, "shots": 1, "queries": 1, "seed": 0}
        >>> tasks = tfmeta.tasks.glyphs("train", label_scope="split", **options).batch(1)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: of `EmbeddingLearner`.
        classes: number of training classes.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: gradient steps on a task's support set.
        **options: of `MetaLearner`.
    """

    def __init__(self, network, classes, inner_rate=0.01, inner_steps=10, **options):
        super().__init__(
            network, classes, inner_rate=inner_rate, inner_steps=inner_steps, **options
        )
