"""Arguments that a learner was made with, which no later assignment changes in part or unseen."""

import inspect
from typing import Any

import keras

from tfmeta.learners.arguments import signature_of

# What `MetaLearner.__init__` has read when it ends.
_READ = {
    "network",
    "adaptation",
    "gradient_rule",
    "inner_steps",
    "test_inner_steps",
    "adapted",
    "normalization",
    "inner_loss",
    "dropout",
    "seed",
    "rematerialize",
    "meta_gradient_clip",
    "diverged_tasks",
}
# How tasks are computed changes no number: a run sets it for a trace.
_FREE = {"parallel", "tasks_per_pass", "name"}
_PLAIN = (bool, int, float, str, type(None))


def read_arguments(cls: type) -> frozenset[str]:
    """Arguments that are settled at the end of `MetaLearner.__init__`.

    Args:
        cls: of the learner. Where its constructor declares `adapted`, it sets it once more.
    """
    declared = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return frozenset(_READ - ({"adapted"} & set(declared)))


def library_arguments(cls: type) -> frozenset[str]:
    """Arguments of a learner's class, or of this library's class that it is derived from."""
    own = next(base for base in cls.__mro__ if base.__module__.startswith("tfmeta."))
    return frozenset(signature_of(own).parameters) - _FREE


def check(learner: keras.Model, name: str, value: Any) -> None:
    """Refuses another value of a settled argument; one that is set after `_READ` is settled too.

    Args:
        learner: a `MetaLearner`, maybe within its constructor.
        name: of the attribute that is set.
        value: what it is set to.

    Raises:
        AttributeError: the rule, what was received, and what to do.
    """
    own = vars(learner)
    settled = own.get("settled_arguments")
    if settled is None or name == "settled_arguments":
        return
    if name not in settled or name not in own:
        if name in library_arguments(type(learner)):
            own["settled_arguments"] = settled | {name}
        return
    if own[name] is value or (isinstance(value, _PLAIN) and own[name] == value):
        return
    cls = type(learner).__name__
    made = f"{cls}(network)" if name == "network" else f"{cls}(network, {name}=...)"
    steps = " adapt, task_weights and adaptation_curve take inner_steps= too."
    raise AttributeError(
        f"A learner keeps the arguments that it was made with. Received: learner.{name} = "
        f"{value!r}. Make a new one, {made}, which shares the weights of its network."
        f"{steps if name in ('inner_steps', 'test_inner_steps') else ''}"
    )
