"""Adaptation of a policy as a pure function of its weights, and what a meta-step improves."""

import tensorflow as tf

from tfmeta import inner
from tfmeta.rl.gaussian_policy import gaussian, kl_divergence
from tfmeta.rl.surrogates import likelihood_ratio_surrogate
from tfmeta.rl.trajectories import mean_over_steps


class PolicyGradientStep:
    """theta' = theta - rate * grad L(theta), L a surrogate of the task's own trajectories.

    Args:
        network: a built `keras.Model` from observations [N, o] to [N, 2 a].
        surrogate: of `tfmeta.rl.surrogates`, the inner loss.
    """

    def __init__(self, network, surrogate):
        self.surrogate = surrogate
        self._pure = inner.PureNetwork(network)
        self._optimizer = inner.SGD()
        self.paths = self._pure.paths

    def outputs(self, weights, state, observations):
        """What the policy with `weights` says of observations [..., o]: [..., 2 a]."""
        flat = tf.reshape(observations, [-1, observations.shape[-1]])
        outputs, _, _ = self._pure(weights, state, flat, batch_statistics=False)
        shape = tf.concat([tf.shape(observations)[:-1], [outputs.shape[-1]]], axis=0)
        return tf.ensure_shape(
            tf.reshape(outputs, shape), [*observations.shape[:-1], outputs.shape[-1]]
        )

    def update(self, weights, state, experience, rate):
        """Adapts to one task by one step.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            state: list of tensors, order of `network.non_trainable_variables`.
            experience: `Experience` [N, H, ...].
            rate: a float, or a scalar tensor.

        Returns:
            The new weights, differentiable to any order, and the surrogate [] before the step.
        """
        with tf.GradientTape() as tape:
            tape.watch(weights)
            distribution = gaussian(
                self.outputs(weights, state, experience.trajectories.observations)
            )
            loss = self.surrogate(distribution, experience)
        gradients = inner.gradient(tape, loss, weights, self.paths, what="inner surrogate")
        moved, _ = self._optimizer.update(weights, gradients, [], [rate] * len(weights))
        return moved, loss

    def after_updates(self, weights, state, before, after, rate):
        """The loss and the KL divergence of one task after its updates, as functions of weights.

        Args:
            weights: list of tensors; the initialisation.
            state: list of tensors.
            before: a list of `Experience`, one an update.
            after: `Experience` of the adapted policy.
            rate: of the updates.

        Returns:
            -mean(A pi_theta' / pi_old) over the steps of `after`, [], and the mean KL divergence
            of the adapted policy from the one that drew `after`, [].
        """
        for experience in before:
            weights, _ = self.update(weights, state, experience, rate)
        trajectories = after.trajectories
        new = gaussian(self.outputs(weights, state, trajectories.observations))
        old = gaussian(tf.stop_gradient(trajectories.policy_outputs))
        kl = mean_over_steps(kl_divergence(old, new), trajectories.mask)
        return likelihood_ratio_surrogate(new, after), kl
