"""Reinforcement learning: policies that adapt by policy gradients, and environments to do it in."""

from tfmeta.process.lazy_names import lazy_names

# Loaded when first used: a simulation process, which lives in this package, needs no TensorFlow.
_MODULES = {
    "TRPO": "tfmeta.rl.outer_steps",
    "AntDirection": "tfmeta.rl.locomotion",
    "AntVelocity": "tfmeta.rl.locomotion",
    "Environment": "tfmeta.rl.environment",
    "GymnasiumEnvironment": "tfmeta.rl.gymnasium_environment",
    "HalfCheetahDirection": "tfmeta.rl.locomotion",
    "HalfCheetahVelocity": "tfmeta.rl.locomotion",
    "Navigation": "tfmeta.rl.navigation",
    "PolicyGradient": "tfmeta.rl.outer_steps",
    "PolicyMAML": "tfmeta.rl.policy_maml",
    "TaskInView": "tfmeta.rl.task_in_view",
    "environment_tasks": "tfmeta.rl.environment",
    "gaussian_mlp": "tfmeta.rl.gaussian_policy",
    "likelihood_ratio_surrogate": "tfmeta.rl.surrogates",
    "log_likelihood_surrogate": "tfmeta.rl.surrogates",
}

__all__ = list(_MODULES)
__getattr__ = lazy_names(__name__, _MODULES)


def __dir__():
    return __all__
