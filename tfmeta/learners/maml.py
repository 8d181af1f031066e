"""MAML (Finn, Abbeel, Levine 2017), its first-order form, and ANIL (Raghu et al. 2020)."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.pure_functions import TaskGradient


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
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        first_order: whether to leave second derivatives out.
        **options: of `MetaLearner`.
    """

    def __init__(self, network, inner_rate=0.01, inner_steps=1, *, first_order=False, **options):
        super().__init__(network, inner_rate, inner_steps, **options)
        self.first_order = first_order
        self.second_order = not first_order

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the query loss after `inner_steps`, with respect to `parameters`."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adaptation = self.adapt_weights(
                parameters, task.support, self.inner_steps, state, key, training=True
            )
            outputs, loss, network_state = self._query(adaptation.weights, state, task)
        gradient = inner.gradient(
            tape,
            loss,
            parameters,
            self.parameter_paths,
            what="query loss",
            # Without an inner step, what directs the steps has nothing to learn from.
            zero=() if self.inner_steps else self.parameter_paths[self._weight_count :],
        )
        state = self._with_network_state(adaptation.state, network_state)
        return TaskGradient(gradient, outputs, state, {"loss": loss})

    def get_config(self):
        return {**super().get_config(), "first_order": self.first_order}
