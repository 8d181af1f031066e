"""A small fixed problem of two tasks, in float64 and with smooth activations."""

import functools

import keras
import pytest
import tensorflow as tf

from tfmeta import rl
from tfmeta.rl.advantages import with_advantages
from tfmeta.rl.policy_gradient_step import PolicyGradientStep
from tfmeta.rl.sampling import sample_trajectories

RATE = 0.3


def smooth_policy():
    """A policy of 31 weights."""
    keras.utils.set_random_seed(3)
    return rl.gaussian_mlp(2, 2, hidden=(4,), activation="tanh", dtype="float64")


class FixedProblem:
    """Trajectories drawn once; everything after that is a function of the initialisation.

    Attributes:
        weights: the initialisation, list of tensors.
        before, after: `Experience` [T, N, H, ...].
    """

    def __init__(self, network, surrogate):
        self.step = PolicyGradientStep(network, surrogate)
        self.weights = [tf.convert_to_tensor(v) for v in network.trainable_variables]
        stream = rl.environment_tasks(rl.Navigation(horizon=6), shots=5, seed=1)
        parameters, keys = next(iter(stream.batch(2)))
        parameters = tf.cast(parameters, tf.float64)
        self.before = self._drawn([self.weights] * 2, parameters, keys)
        adapted = [
            self.step.update(self.weights, [], _one(self.before, task), RATE)[0]
            for task in range(2)
        ]
        self.after = self._drawn(adapted, parameters, keys + 1)

    def _drawn(self, weights_of_tasks, parameters, keys):
        def policy(observations):
            return tf.stack(
                [
                    self.step.outputs(weights, [], of_task)
                    for weights, of_task in zip(
                        weights_of_tasks, tf.unstack(observations), strict=True
                    )
                ]
            )

        environment = rl.Navigation(horizon=6)
        return with_advantages(sample_trajectories(environment, policy, parameters, keys))

    def task(self, index):
        """The experience of one task before and after, [N, H, ...]."""
        return _one((self.before, self.after), index)

    def of_task(self, weights, task):
        """(loss, KL divergence) after the update, as `MetaObjective` takes it."""
        before, after = task
        return self.step.after_updates(weights, [], [before], after, RATE)


def _one(stacked, index):
    return tf.nest.map_structure(lambda tensor: tensor[index], stacked)


@pytest.fixture(scope="session")
def fixed_problem():
    """`fixed_problem(surrogate)` -> `FixedProblem`, which nobody changes."""
    made = functools.cache(lambda surrogate: FixedProblem(smooth_policy(), surrogate))
    return lambda surrogate=rl.log_likelihood_surrogate: made(surrogate)
