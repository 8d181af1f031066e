"""Trajectories of many tasks, drawn and adapted to in turns."""

import tensorflow as tf

from tfmeta.rl.advantages import with_advantages
from tfmeta.rl.sampling import sample_trajectories
from tfmeta.rl.trajectories import Experience


class Adaptation:
    """Draws trajectories of each task with the weights it stands at, and updates those.

    Args:
        environment: `Environment`.
        step: `PolicyGradientStep`.
        map_over_tasks: function of a function of one task, and of the stacked tasks.
        discount: of rewards.
        gae_lambda: of generalised advantages.
    """

    def __init__(self, environment, step, map_over_tasks, discount: float, gae_lambda: float):
        self._environment = environment
        self._step = step
        self._map = map_over_tasks
        self._advantages = {"discount": discount, "gae_lambda": gae_lambda}

    def experiences(self, weights, state, data, rates) -> list[Experience]:
        """What each task gives before its updates and after each.

        Args:
            weights: list of tensors; the initialisation.
            state: list of tensors that updates leave alone.
            data: a batch of `environment_tasks`.
            rates: of the updates, a list of n.

        Returns:
            n + 1 `Experience` [T, N, H, ...]; no derivative goes through them.
        """
        parameters, keys = data
        parameters = tf.cast(parameters, weights[0].dtype)
        tasks = parameters.shape[0] or tf.shape(parameters)[0]
        current = [tf.broadcast_to(w, [tasks, *w.shape]) for w in weights]
        experiences = []
        for number in range(len(rates) + 1):
            experience = self._drawn(current, state, parameters, _folded(keys, number))
            experiences.append(experience)
            if number < len(rates):
                current = self._updated(current, state, experience, rates[number])
        return experiences

    def _drawn(self, weights, state, parameters, keys):
        def policy(observations):
            return self._map(
                lambda task: self._step.outputs(task[0], state, task[1]), (weights, observations)
            )

        trajectories = sample_trajectories(self._environment, policy, parameters, keys)
        return with_advantages(trajectories, **self._advantages)

    def _updated(self, weights, state, experience, rate):
        moved = self._map(
            lambda task: self._step.update(task[0], state, task[1], rate)[0], (weights, experience)
        )
        return [tf.stop_gradient(weight) for weight in moved]


def _folded(keys, number):
    """Keys [T, 2] of the `number`-th set of trajectories."""
    return tf.map_fn(lambda key: tf.random.experimental.stateless_fold_in(key, number), keys)
