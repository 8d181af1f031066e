"""The former place of `TaskGradient`, for one release; take `tfmeta.TaskGradient`."""

import warnings


def __getattr__(name):
    if name != "TaskGradient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfmeta.learners.core.gradient_rule import TaskGradient

    warnings.warn(
        "tfmeta.learners.pure_functions.TaskGradient is tfmeta.TaskGradient now.",
        DeprecationWarning,
        stacklevel=2,
    )
    return TaskGradient
