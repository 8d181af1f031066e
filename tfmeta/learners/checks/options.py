"""What a learner refuses of its own arguments."""

import numpy as np

from tfmeta.inner import normalization as modes
from tfmeta.parallel.map_tasks import PARALLEL


def check_options(
    *,
    inner_steps=0,
    test_inner_steps=None,
    normalization="transductive",
    parallel="auto",
    meta_gradient_clip=None,
):
    """Raises a ValueError for an option out of its range."""
    for name, steps in (("inner_steps", inner_steps), ("test_inner_steps", test_inner_steps)):
        if steps is not None and (not isinstance(steps, int) or steps < 0):
            raise ValueError(f"{name} must be a whole number, 0 or more. Received: {steps!r}.")
    modes.check(normalization)
    if parallel not in PARALLEL:
        raise ValueError(
            f"parallel must be one of {', '.join(map(repr, PARALLEL))}. Received: {parallel!r}."
        )
    if meta_gradient_clip is not None and not meta_gradient_clip > 0:
        raise ValueError(
            f"meta_gradient_clip must be above 0 or None. Received: {meta_gradient_clip!r}."
        )


def check_part(argument, part, kind):
    """Raises a TypeError unless a learner's part is None or of its kind."""
    if part is not None and not isinstance(part, kind):
        raise TypeError(
            f"{argument} must be a tfmeta.parts.{kind.__name__}. Received: {part!r}. "
            "Inner rates belong to a learner such as tfmeta.MAML, or to "
            "tfmeta.parts.GradientDescent."
        )


def check_samples(samples):
    """Returns the number of samples; raises a ValueError unless it is a whole one, 1 or more."""
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(
            f"samples must be a whole number, 1 or more. Received: {samples!r}. "
            "Pass how many weights to draw for a task."
        )
    return samples


def check_noise(noise):
    """Returns a regression's noise; raises a ValueError unless it is above 0."""
    if not noise > 0:
        raise ValueError(
            f"noise must be above 0. Received: {noise!r}. "
            "Pass the standard deviation of the targets around the network's output."
        )
    return noise


def check_rates(rates):
    """Raises a ValueError unless each rate is a finite number, 0 or more."""
    for rate in rates:
        number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
        if not number or not 0 <= rate < np.inf:
            raise ValueError(
                f"inner_rate must be a finite number, 0 or more. Received: {rate!r}. "
                "Pass a number, or a dict from patterns on weight paths to numbers."
            )
