"""Low-rank updates (LoRA, Hu et al. 2021) of chosen layers of a network; the rest is frozen."""

import fnmatch
from collections.abc import Sequence

import keras

# Layers of Keras that have `enable_lora`.
LORA_LAYERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
)


def enable_lora(
    network: keras.Model, rank: int, layers: Sequence[str | keras.layers.Layer] | None = None
) -> list[keras.layers.Layer]:
    """Freezes a network but for low-rank updates of some layers, by Keras' `enable_lora`.

    The kernel W of a layer becomes W + A B, of which A [inputs, rank] and B [rank, outputs] are
    trained; B begins at zero. A layer's bias is trained with them. Weights that a layer around it
    has of its own are frozen as variables: a learner's file keeps that, a Keras file of the network
    alone does not.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8, 8))
        >>> layers = tfmeta.networks.enable_lora(network, 2, ["hidden_2"])
        >>> [v.path.split("/", 1)[-1] for v in network.trainable_variables]
        ['bias', 'lora_kernel_a', 'lora_kernel_b']

    Args:
        network: a built `keras.Model`, which is changed.
        rank: of the updates.
        layers: layers of the network, or patterns of their names ("block_5_*"). None: all dense,
            convolutional and embedding layers. Depthwise convolutions have no low-rank form.

    Returns:
        The layers that got updates.

    Raises:
        ValueError: for a layer that is not the network's, or has no low-rank form, and for a
            pattern or rank that fits nothing.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"The rank must be a whole number, 1 or more. Received: {rank!r}.")
    every = list(network._flatten_layers(include_self=False))
    able = [layer for layer in every if isinstance(layer, LORA_LAYERS)]
    chosen = able if layers is None else _chosen(network, every, layers)
    for layer in chosen:
        if layer not in able:
            raise ValueError(
                "Low-rank updates are for dense, convolutional and embedding layers. Received: "
                f"{layer.name!r}, a {type(layer).__name__}. Leave it out."
            )
    if not chosen:
        raise ValueError(
            "Low-rank updates need a dense, convolutional or embedding layer. Received: "
            f"{network.name!r} without any."
        )
    twice = [layer.name for layer in every if getattr(layer, "lora_enabled", False)]
    if twice:
        raise ValueError(
            "Low-rank updates can be enabled once. Received: a network that has them: "
            f"{', '.join(twice)}. Leave lora_rank out."
        )
    ids = {id(layer) for layer in chosen}
    network.trainable = True
    for layer in every:
        # A layer that is frozen freezes the layers within it.
        layer.trainable = any(id(part) in ids for part in layer._flatten_layers())
    for layer in every:
        if id(layer) not in ids and len(list(layer._flatten_layers())) == 1:
            layer.trainable = False
    left = {id(variable) for layer in chosen for variable in layer.trainable_variables}
    for variable in network.trainable_variables:
        # Weights of a layer's own, beside those of the layers within it.
        if id(variable) not in left:
            variable.trainable = False
    for layer in chosen:
        layer.enable_lora(rank)
    return chosen


def _chosen(network, every, layers):
    chosen = []
    for wanted in [layers] if isinstance(layers, (str, keras.layers.Layer)) else layers:
        if isinstance(wanted, str):
            found = [
                layer
                for layer in every
                if fnmatch.fnmatchcase(layer.name, wanted)
                and (layer.name == wanted or isinstance(layer, LORA_LAYERS))
            ]
        else:
            found = [layer for layer in every if layer is wanted]
        if not found:
            raise ValueError(
                "Layers must be layers of the network, or match their names. Received: "
                f"{getattr(wanted, 'name', wanted)!r} for {network.name!r}. Its layers with "
                "low-rank updates are: "
                f"{', '.join(layer.name for layer in every if isinstance(layer, LORA_LAYERS))}."
            )
        chosen += [layer for layer in found if layer not in chosen]
    return chosen
