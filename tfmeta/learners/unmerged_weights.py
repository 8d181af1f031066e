"""Low-rank updates (LoRA) in saved learners: kernel and factors apart, as the learner has them."""

import keras


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
