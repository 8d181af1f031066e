"""What `keras.saving` keeps of a learner: its arguments, what is frozen, low-rank updates."""

import operator
import warnings
from typing import Any

import keras

from tfmeta.learners.keras_model.arguments import signature_of

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


def frozen_parts(network: keras.Model) -> dict[str, list[bool]] | None:
    """Whether each layer and variable of a network is trainable; None where no layer is frozen.

    Keras keeps `trainable` in the configuration of each layer. A backbone that builds its layers in
    its own constructor, as KerasHub's do, comes back with all of them trainable, and a learner made
    of it would adapt other weights than the saved one.

    Args:
        network: a built `keras.Model`.
    """
    layers = [bool(layer.trainable) for layer in network._flatten_layers()]
    if all(layers) and not low_rank_layers(network):
        return None
    variables = [bool(variable.trainable) for variable in network.variables]
    return {"layers": layers, "variables": variables}


def freeze_again(network: keras.Model, parts: dict[str, list[bool]]) -> None:
    """Freezes the layers and variables that were frozen when `frozen_parts` looked.

    Raises:
        ValueError: for a network of another number of layers or variables.
    """
    layers = list(network._flatten_layers())
    if len(layers) != len(parts["layers"]) or len(network.variables) != len(parts["variables"]):
        raise ValueError(
            "A saved learner's network must have the layers that it was saved with. Received: "
            f"{network.name!r} with {len(layers)} layers and {len(network.variables)} variables, "
            f"saved with {len(parts['layers'])} and {len(parts['variables'])}. Load it with the "
            "code that made it."
        )
    # A layer comes before the layers within it, which its flag changes too.
    for layer, trainable in zip(layers, parts["layers"], strict=True):
        layer.trainable = trainable
    for variable, trainable in zip(network.variables, parts["variables"], strict=True):
        variable.trainable = trainable


class UnmergedWeights(keras.layers.Layer):
    """Saves and restores the kernels and the low-rank factors of a network's layers.

    Keras saves a layer with low-rank updates as one kernel, W + A B, and loads it with A = B = 0,
    at which both have no gradient: a loaded learner would adapt no more. This layer is an
    attribute of a learner whose name comes after "network", so that Keras loads it last.

    Args:
        network: a `keras.Model`; it keeps its layers.
    """

    def __init__(self, network: keras.Model):
        super().__init__(name="unmerged_weights")
        variables = [variable for layer in low_rank_layers(network) for variable in layer.variables]
        # A zero-argument function: Keras would track the variables twice.
        self._get_variables = lambda: variables
        self.built = True

    def save_own_variables(self, store) -> None:
        """Writes kernel, bias and factors of each layer."""
        for position, variable in enumerate(self._get_variables()):
            store[str(position)] = variable.numpy()

    def load_own_variables(self, store) -> None:
        """Reads what `save_own_variables` wrote.

        Raises:
            ValueError: for weights of a learner without, or with other, low-rank updates.
        """
        variables = self._get_variables()
        shapes = [tuple(store[name].shape) for name in sorted(store.keys(), key=int)]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise ValueError(
                "The weights of a learner must have the low-rank updates of its network. Received: "
                f"a file with {len(shapes)} such weights for a network with {len(variables)}. "
                "Load weights of such a learner, or load the network's before enable_lora."
            )
        for position, variable in enumerate(variables):
            variable.assign(store[str(position)])


def low_rank_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network that have low-rank updates, by Keras' `enable_lora`."""
    return [layer for layer in network._flatten_layers() if getattr(layer, "lora_enabled", False)]
