"""How an embedding is trained: on tasks as they are at test, or by telling all classes apart."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.batch.task_keys import initial_seed
from tfmeta.learners.core.embedding import check_logits
from tfmeta.learners.core.gradient_rule import GradientRule, TaskFunctions, TaskGradient
from tfmeta.learners.core.parts import Group, WeightSpec
from tfmeta.tasks.task import Examples, Task


class EmbeddingGradient(GradientRule):
    """A rule that trains the embedding and leaves the head as it is.

    In training, batch normalisation uses the statistics of the batch at hand, and its moving
    averages are kept, as Keras' `fit` does.
    """

    changes = ("network",)
    needs_embedding = True

    def without_gradient(self, network) -> list[str]:
        """The head takes no part."""
        return network.embedding.head_paths

    def check_loss(self, network) -> None:
        """Raises a ValueError unless the loss is a cross-entropy from logits."""
        check_logits("A learner that trains an embedding", network.loss)


@dataclasses.dataclass(frozen=True)
class EpisodicGradient(EmbeddingGradient):
    """The gradient of the loss of queries that are compared with the support set.

    Vinyals et al. 2016, section 2.2: train as you test. Support and queries are embedded as one
    batch, as in the code of Snell et al. 2017, so batch normalisation takes its statistics from
    both.

    Attributes:
        compare: function of (embeddings of queries [Q, F], embeddings of the support set [S, F],
            memberships [S, ways]) to logits [Q, ways].
    """

    compare: Callable

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """Gradient of the query loss with respect to the embedding, through both sets."""
        network = functions.network
        together, support_size = _joined(task)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            embeddings, network_state, own_losses = network.embedding.embed(
                parameters.network, state.network, together, batch_statistics=True
            )
            support, query = embeddings[:support_size], embeddings[support_size:]
            memberships = network.embedding.memberships(
                task.support, embeddings.dtype, network.inner_loss
            )
            outputs = self.compare(query, support, memberships)
            loss = network.loss(task.query.targets, outputs, task.query.weights)
            loss = inner.with_own_losses(loss, own_losses)
        gradient = functions.gradient(tape, loss, parameters, what="training loss")
        state = state._replace(network=[tf.stop_gradient(value) for value in network_state])
        return TaskGradient(gradient, outputs, state, {"loss": loss})


@dataclasses.dataclass(frozen=True)
class JointGradient(EmbeddingGradient):
    """The gradient of one classifier of all training classes on the embedding.

    Its tasks are minibatches: the queries of a training task are the examples, and their labels
    are those of the whole split (`label_scope="split"` of the image streams). The support set of
    a training task takes no part. The classifier is left behind at test.

    Attributes:
        classes: number of training classes.
        seed: the learner's, of which the classifier's initial kernel is a function.
    """

    classes: int
    seed: int = 0

    @property
    def training_ways(self) -> int:
        """The number of training classes."""
        return self.classes

    def groups(self, network) -> list[Group]:
        """Kernel [F, classes] and bias [classes] of the classifier."""
        head = network.embedding.head(network.pure.network.trainable_variables)[0]
        kernel = WeightSpec(
            "classifier/kernel",
            (head.shape[0], self.classes),
            head.dtype,
            keras.initializers.GlorotUniform(seed=initial_seed(self.seed, "classifier")),
            "classifier_kernel",
        )
        bias = WeightSpec(
            "classifier/bias", (self.classes,), head.dtype, "zeros", "classifier_bias"
        )
        return [Group("classifier", [kernel, bias])]

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """Gradient of the classifier's loss on the task's queries."""
        network = functions.network
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            embeddings, network_state, own_losses = network.embedding.embed(
                parameters.network, state.network, task.query, batch_statistics=True
            )
            kernel, bias = parameters.classifier
            outputs = tf.cast(embeddings, kernel.dtype) @ kernel + bias
            outputs = inner.with_mask(outputs, inner.mask_of(embeddings))
            loss = network.loss(task.query.targets, outputs, task.query.weights)
            loss = inner.with_own_losses(loss, own_losses)
        gradient = functions.gradient(tape, loss, parameters, what="training loss")
        state = state._replace(network=[tf.stop_gradient(value) for value in network_state])
        return TaskGradient(gradient, outputs, state, {"loss": loss})


def check_classes(classes: int) -> int:
    """Returns the number of training classes; raises a ValueError unless it is 2 or more."""
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(
            "classes must be the number of training classes, 2 or more. "
            f"Received: {classes!r}. A stream says it in .info['classes']."
        )
    return classes


def _joined(task):
    """(support and query examples as one set without targets, size of the support set)."""
    support, query = task
    inputs = keras.tree.map_structure(
        lambda one, other: tf.concat([one, tf.cast(other, one.dtype)], axis=0),
        support.inputs,
        query.inputs,
    )
    sizes = [_size(part) for part in task]
    weights = None
    if support.weights is not None or query.weights is not None:
        parts = [
            tf.ones([size]) if part.weights is None else tf.cast(part.weights, tf.float32)
            for part, size in zip(task, sizes, strict=True)
        ]
        weights = tf.concat(parts, axis=0)
    return Examples(inputs, None, weights), sizes[0]


def _size(examples):
    first = keras.tree.flatten(examples.inputs)[0]
    return tf.shape(first)[0] if first.shape[0] is None else first.shape[0]
