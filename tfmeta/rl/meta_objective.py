"""What the outer optimiser sees: loss and KL of the adapted policies, and their derivatives."""

import tensorflow as tf

from tfmeta import inner


class MetaObjective:
    """Means over tasks, as functions of the initialisation; through the inner steps.

    Args:
        of_task: function of (weights, task) to the task's loss [] and KL divergence [].
        map_over_tasks: function that maps a function of a task over all tasks.
    """

    def __init__(self, of_task, map_over_tasks):
        self._of_task = of_task
        self._map = map_over_tasks

    def value(self, weights):
        """The mean loss [] and the mean KL divergence []."""
        losses, kls = self._map(lambda task: self._of_task(weights, task))
        return tf.reduce_mean(losses), tf.reduce_mean(kls)

    def gradient(self, weights):
        """The gradient of the mean loss, a list of tensors."""

        def of_task(task):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss, _ = self._of_task(weights, task)
            found = tape.gradient(loss, weights, unconnected_gradients="zero")
            return [tf.convert_to_tensor(value) for value in found]

        return _means(self._map(of_task))

    def kl_product(self, weights, vector):
        """The Hessian of the mean KL divergence times `vector`, a list of tensors."""

        def of_task(task):
            return inner.hessian_vector_product(
                lambda current: self._of_task(current, task)[1], weights, vector
            )

        return _means(self._map(of_task))


def _means(stacked):
    return [tf.reduce_mean(value, axis=0) for value in stacked]
