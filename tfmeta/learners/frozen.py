"""What of a network is frozen, in a learner's configuration.

Keras keeps `trainable` in the configuration of each layer. A backbone that builds its layers in its
own constructor, as KerasHub's do, comes back with all of them trainable, and a learner made of it
would adapt other weights than the saved one.
"""

import keras

from tfmeta.learners.unmerged_weights import low_rank_layers


def frozen_parts(network: keras.Model) -> dict[str, list[bool]] | None:
    """Whether each layer and variable of a network is trainable; None where no layer is frozen.

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
