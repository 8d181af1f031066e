"""A network adapted to one task, as a Keras model."""

import keras
import tensorflow as tf


class AdaptedModel(keras.Model):
    """Answers the queries of one task with weights that are adapted to it.

    It keeps the learner's normalisation: a transductive query set is never cut into batches, and
    an inductive answer uses the support inputs, which the model holds.

    Args:
        learner: the `MetaLearner`.
        weights: list of tensors, order of `network.trainable_variables`.
        support: the task's `Examples`.
    """

    def __init__(self, learner, weights, support):
        super().__init__(name=f"adapted_{learner.network.name}", autocast=False)
        self._whole_set = learner.normalization == "transductive"
        self.adapted_weights = [
            self.add_weight(
                shape=value.shape, dtype=value.dtype.name, initializer="zeros", name=f"weight_{i}"
            )
            for i, value in enumerate(weights)
        ]
        for variable, value in zip(self.adapted_weights, weights, strict=True):
            variable.assign(value)
        state = [tf.identity(tf.convert_to_tensor(v)) for v in learner.state_variables]

        # A closure: as an attribute the learner would become a sublayer with all its weights.
        def answer(inputs):
            current = [tf.convert_to_tensor(variable) for variable in self.adapted_weights]
            return learner.query_outputs(current, state, inputs, support)

        self._answer = answer
        self.built = True

    def call(self, inputs, training=None):
        """Raw outputs [Q, ...] of query inputs [Q, ...]."""
        return self._answer(inputs)

    def predict(self, x, batch_size=None, **options):
        """As `keras.Model.predict`; a transductive query set stays whole."""
        if self._whole_set and not isinstance(x, tf.data.Dataset):
            batch_size = max(1, len(keras.tree.flatten(x)[0]))
        return super().predict(x, batch_size=batch_size, **options)
