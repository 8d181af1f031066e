"""Reinforcement learning: policies that adapt by policy gradients, and environments to do it in."""

from tfmeta.rl.environment import Environment, environment_tasks
from tfmeta.rl.gaussian_policy import gaussian_mlp
from tfmeta.rl.navigation import Navigation
from tfmeta.rl.outer_steps import TRPO, PolicyGradient
from tfmeta.rl.policy_maml import PolicyMAML
from tfmeta.rl.surrogates import likelihood_ratio_surrogate, log_likelihood_surrogate

__all__ = [
    "TRPO",
    "Environment",
    "Navigation",
    "PolicyGradient",
    "PolicyMAML",
    "environment_tasks",
    "gaussian_mlp",
    "likelihood_ratio_surrogate",
    "log_likelihood_surrogate",
]
