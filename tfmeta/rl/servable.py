"""What the export room is given of a policy: its update and its actions as pure functions."""

from tfmeta.rl.advantages import with_advantages
from tfmeta.rl.gaussian_policy import gaussian
from tfmeta.rl.trajectories import Trajectories
from tfmeta.saved_model.policies import ServablePolicy


def make_servable(learner) -> ServablePolicy:
    """Builds the `ServablePolicy` of a `PolicyMAML`: one update, of the first test rate.

    A second update would need trajectories of the updated policy, which no single request has.
    """
    step, rate = learner.step, learner.test_inner_rates[0]

    def adapt(parameters, state, observations, actions, rewards, mask):
        outputs = step.outputs(parameters, state, observations)
        trajectories = Trajectories(observations, actions, rewards, mask, outputs)
        experience = with_advantages(trajectories, learner.discount, learner.gae_lambda)
        return step.update(parameters, state, experience, rate)[0]

    def act(weights, state, observations):
        return gaussian(step.outputs(weights, state, observations))

    return ServablePolicy(
        parameters=learner.parameter_variables,
        state=learner.state_variables,
        adapt=adapt,
        act=act,
        observation_size=learner.environment.observation_size,
        action_size=learner.environment.action_size,
        inner_rate=rate,
        dtype=learner.network.trainable_variables[0].dtype,
        learner=type(learner).__name__,
        metadata={"environment": learner.environment.name},
    )
