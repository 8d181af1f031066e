"""Training an embedding on tasks as they are at test: support set, queries, query loss."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.pure_functions import TaskGradient
from tfmeta.tasks.task import Examples


class EpisodicTraining:
    """Mixin before `ComparisonLearner`: descends the loss of queries that `compare` answers.

    Vinyals et al. 2016, section 2.2: train as you test. Support and queries are embedded as one
    batch, as in the code of Snell et al. 2017, so batch normalisation takes its statistics from
    both.
    """

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the query loss with respect to the embedding, through both sets."""
        together, support_size = _joined(task)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            embeddings, network_state, own_losses = self._embed(
                parameters,
                self._network_state(state),
                together.inputs,
                together.weights,
                batch_statistics=True,
            )
            support, query = embeddings[:support_size], embeddings[support_size:]
            memberships = self._memberships(task.support, embeddings.dtype)
            outputs = self.compare(query, support, memberships)
            loss = self.loss_function(task.query.targets, outputs, task.query.weights)
            loss = inner.with_own_losses(loss, own_losses)
        gradient = self._gradient(tape, loss, parameters)
        state = self._with_network_state(state, [tf.stop_gradient(v) for v in network_state])
        return TaskGradient(gradient, outputs, state, {"loss": loss})


def _joined(task):
    """(support and query examples as one set without targets, size of the support set)."""
    support, query = task.support, task.query
    inputs = keras.tree.map_structure(
        lambda one, other: tf.concat([one, tf.cast(other, one.dtype)], axis=0),
        support.inputs,
        query.inputs,
    )
    sizes = [_size(part) for part in (support, query)]
    weights = None
    if support.weights is not None or query.weights is not None:
        parts = [
            tf.ones([size]) if part.weights is None else tf.cast(part.weights, tf.float32)
            for part, size in zip((support, query), sizes, strict=True)
        ]
        weights = tf.concat(parts, axis=0)
    return Examples(inputs, None, weights), sizes[0]


def _size(examples):
    first = keras.tree.flatten(examples.inputs)[0]
    return tf.shape(first)[0] if first.shape[0] is None else first.shape[0]
