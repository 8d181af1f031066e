"""BMAML (Kim et al. 2018, "Bayesian Model-Agnostic Meta-Learning"): the chaser loss."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.bfa import BFA
from tfmeta.learners.pure_functions import TaskGradient
from tfmeta.tasks.task import Examples


@keras.saving.register_keras_serializable("tfmeta")
class BMAML(BFA):
    """Particles that learn to arrive, from the support set alone, where the query set leads them.

    The chaser is the particles after `inner_steps` steps on the support set; the leader goes on
    from there for `leader_steps` steps on support and query set together. The meta-gradient is
    that of sum_m ||chaser_m - leader_m||^2 with the leader held fixed (the paper's algorithm 3).
    The likelihood of the queries is not maximised, so there is nothing to overfit it with.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        leader_steps: s of the paper.
        **options: of `BFA`.
    """

    def __init__(self, network, inner_rate=0.05, inner_steps=1, *, leader_steps=1, **options):
        super().__init__(network, inner_rate, inner_steps, **options)
        if not isinstance(leader_steps, int) or leader_steps < 1:
            raise ValueError(
                f"leader_steps must be a whole number, 1 or more. Received: {leader_steps!r}. "
                "Take tfmeta.BFA for a meta-gradient of the likelihood."
            )
        self.leader_steps = leader_steps

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the squared distance from the chaser to the leader."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adaptation = self.adapt_weights(
                parameters, task.support, self.inner_steps, state, key, training=True
            )
            chaser = [adaptation.weights[index] for index in self._adapted]
            with tape.stop_recording():
                leader = self.lead(chaser, parameters, task, state, key)
            distance = [c - tf.stop_gradient(v) for c, v in zip(chaser, leader, strict=True)]
            objective = inner.dot(distance, distance)
        gradient = inner.gradient(
            tape, objective, parameters, self.parameter_paths, what="chaser loss"
        )
        outputs, loss, network_state = self._query(adaptation.weights, state, task)
        state = self._with_network_state(adaptation.state, network_state)
        return TaskGradient(gradient, outputs, state, {"loss": loss, "objective": objective})

    def lead(self, chaser, parameters, task, state, key):
        """The leader: the chaser's particles after more steps, on all examples of the task.

        Args:
            chaser: list of tensors [M, *shape], one a weight that adapts.
            parameters: list of tensors, order of `parameter_variables`.
            task: `Task`, with query targets.
            state: list of tensors, order of `state_variables`.
            key: int32 [2].

        Returns:
            As `chaser`.
        """
        every = joined(task.support, task.query)
        led = self._descend(chaser, parameters, every, self.leader_steps, state, key, training=True)
        return [led.weights[index] for index in self._adapted]

    def get_config(self):
        return {**super().get_config(), "leader_steps": self.leader_steps}


def joined(support, query) -> Examples:
    """The examples of both sets as one."""
    inputs, targets = (
        keras.tree.map_structure(lambda a, b: tf.concat([a, tf.cast(b, a.dtype)], 0), *pair)
        for pair in ((support.inputs, query.inputs), (support.targets, query.targets))
    )
    if support.weights is None and query.weights is None:
        return Examples(inputs, targets)
    weights = [
        tf.ones(tf.shape(part.targets)[:1])
        if part.weights is None
        else tf.cast(part.weights, tf.float32)
        for part in (support, query)
    ]
    return Examples(inputs, targets, tf.concat(weights, axis=0))
