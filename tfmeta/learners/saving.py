"""What `keras.saving` keeps of a learner, and names that it had in the release before."""

import operator
import warnings
from typing import Any

import keras

from tfmeta.learners.arguments import signature_of
from tfmeta.learners.frozen import freeze_again, frozen_parts

TRAINED_TASKS = "trained_tasks"  # beside the numbers by which Keras saves a layer's variables
FROZEN = "frozen_parts"  # no constructor has it; `BOIL` has `frozen`
# Attributes of a learner that have another name now, or are attributes of its parts.
MOVED = {
    "adapted_indices": "task_network.adapted",
    "adapted_shapes": "task_network.adapted_shapes",
    "learns_from_queries": "gradient_rule.learns_from_queries",
    "network_paths": "task_network.paths",
    "second_order": "gradient_rule.second_order",
    "way_of": "execution_of",
}


def config_of(learner: keras.Model) -> dict[str, Any]:
    """The constructor's arguments: every one is an attribute of the same name.

    Of a network with frozen layers, also which they are.
    """
    config = {
        name: keras.saving.serialize_keras_object(getattr(learner, name))
        for name in signature_of(type(learner)).parameters
    }
    frozen = frozen_parts(learner.network)
    return config if frozen is None else {**config, FROZEN: frozen}


def arguments_of(config: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments that `config_of` wrote, the network frozen as it was."""
    arguments = {
        name: keras.saving.deserialize_keras_object(value)
        for name, value in config.items()
        if name != FROZEN
    }
    if FROZEN in config:
        freeze_again(arguments["network"], config[FROZEN])
    return arguments


def without_trained_tasks(store) -> dict[str, Any]:
    """A store of variables as `keras.Layer.load_own_variables` takes it."""
    return {name: store[name] for name in store.keys() if name != TRAINED_TASKS}  # noqa: SIM118


def trained_tasks(store) -> Any:
    """The number of tasks trained on; 0 in files that do not hold it."""
    return store[TRAINED_TASKS] if TRAINED_TASKS in list(store.keys()) else 0


def moved(learner: keras.Model, name: str) -> Any:
    """An attribute by its earlier name, with a warning that says the new one."""
    warnings.warn(
        f"`learner.{name}` is `learner.{MOVED[name]}` now, and goes in the next release.",
        DeprecationWarning,
        stacklevel=3,
    )
    return operator.attrgetter(MOVED[name])(learner)
