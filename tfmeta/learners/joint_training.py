"""Training an embedding by telling all training classes apart: the usual pre-training."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.pure_functions import TaskGradient
from tfmeta.learners.task_keys import initial_seed


class JointTraining:
    """Mixin before `EmbeddingLearner`: one classifier of all training classes on the embedding.

    Its tasks are minibatches: the queries of a training task are the examples, and their labels
    are those of the whole split (`label_scope="split"` of the image streams). The support set of
    a training task takes no part. The classifier is left behind at test.

    Args:
        network: of the learner.
        classes: number of training classes.
        **options: of the learner.
    """

    def __init__(self, network, classes, **options):
        super().__init__(network, **options)
        if not isinstance(classes, int) or classes < 2:
            raise ValueError(
                "classes must be the number of training classes, 2 or more. "
                f"Received: {classes!r}. A stream says it in .info['classes']."
            )
        self.classes = classes
        head = self.network.trainable_variables[self._head_indices[0]]
        self.classifier_variables = [
            self.add_weight(
                shape=(head.shape[0], classes),
                dtype=head.dtype,
                initializer=keras.initializers.GlorotUniform(
                    seed=initial_seed(self.seed, "classifier")
                ),
                name="classifier_kernel",
            ),
            self.add_weight(
                shape=(classes,), dtype=head.dtype, initializer="zeros", name="classifier_bias"
            ),
        ]

    @property
    def parameter_variables(self):
        """The network's trainable weights, then kernel and bias of the classifier."""
        return [*super().parameter_variables, *self.classifier_variables]

    @property
    def parameter_paths(self):
        """Paths of the weights, then "classifier/kernel" and "classifier/bias"."""
        return [*super().parameter_paths, "classifier/kernel", "classifier/bias"]

    @property
    def training_ways(self):
        """The number of training classes."""
        return self.classes

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the classifier's loss on the task's queries."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            embeddings, network_state, own_losses = self._embed(
                parameters[: self._weight_count],
                self._network_state(state),
                task.query.inputs,
                task.query.weights,
                batch_statistics=True,
            )
            kernel, bias = parameters[self._weight_count :]
            outputs = tf.cast(embeddings, kernel.dtype) @ kernel + bias
            outputs = inner.with_mask(outputs, inner.mask_of(embeddings))
            loss = self.loss_function(task.query.targets, outputs, task.query.weights)
            loss = inner.with_own_losses(loss, own_losses)
        gradient = self._gradient(tape, loss, parameters)
        state = self._with_network_state(state, [tf.stop_gradient(v) for v in network_state])
        return TaskGradient(gradient, outputs, state, {"loss": loss})

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}
