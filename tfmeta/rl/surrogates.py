"""Losses whose gradient is the policy gradient; they differ in their second derivative.

With A the advantages and means over the steps of a task's trajectories, both have the gradient
-mean(A grad log pi) at the policy that drew the trajectories (REINFORCE, Williams 1992). A
meta-gradient through an inner step on them needs the Hessian too:

- `log_likelihood_surrogate`: -mean(A hess log pi). It takes the trajectories as given: that other
  weights would have drawn others is left out. So does the MAML paper's code.
- `likelihood_ratio_surrogate`: -mean(A (hess log pi + grad log pi grad log pi^T)). The second term
  is that of the distribution of each action; the Hessian is that of the expected return except
  for the effect of an action on later states and their advantages (low variance curvature:
  Rothfuss et al. 2019, "ProMP"; the full estimator is DiCE, Foerster et al. 2018).

Both leave out one more term of the gradient of the expected return after the update: how theta
changes it by which trajectories the update is computed from ("E-MAML", Stadie et al. 2018).
"""

import keras
import tensorflow as tf

from tfmeta.rl.gaussian_policy import Gaussian, gaussian, log_likelihood
from tfmeta.rl.trajectories import Experience, mean_over_steps


@keras.saving.register_keras_serializable("tfmeta")
def log_likelihood_surrogate(distribution: Gaussian, experience: Experience) -> tf.Tensor:
    """-mean(A log pi) of one task, [].

    Args:
        distribution: what the policy that is looked at says of the experience's observations,
            [N, H, a].
        experience: `Experience` [N, H, ...].
    """
    trajectories, advantages = experience
    values = log_likelihood(distribution, trajectories.actions)
    return -mean_over_steps(values * advantages, trajectories.mask)


@keras.saving.register_keras_serializable("tfmeta")
def likelihood_ratio_surrogate(distribution: Gaussian, experience: Experience) -> tf.Tensor:
    """-mean(A pi / pi_old) of one task, [], with pi_old the policy that drew the trajectories.

    Args:
        distribution: what the policy that is looked at says of the experience's observations,
            [N, H, a].
        experience: `Experience` [N, H, ...].
    """
    trajectories, advantages = experience
    old = log_likelihood(gaussian(trajectories.policy_outputs), trajectories.actions)
    difference = log_likelihood(distribution, trajectories.actions) - tf.stop_gradient(old)
    # Masked before the exponential: what follows a trajectory's end must not overflow.
    ratio = tf.exp(difference * trajectories.mask)
    return -mean_over_steps(ratio * advantages, trajectories.mask)
