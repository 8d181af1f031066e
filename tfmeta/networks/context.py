"""Context parameters as a layer: further inputs of the next layer, the same for all examples."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("tfmeta")
class Context(keras.layers.Layer):
    """Appends learned numbers to the last axis of its input (CAVIA, Zintgraf et al. 2019).

    Example:
        >>> import keras
        >>> from tfmeta import networks
        >>> layer = networks.Context(5)
        >>> tuple(layer(keras.ops.zeros((2, 3))).shape)
        (2, 8)

    Args:
        units: number of context parameters.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, units: int, **options: Any):
        super().__init__(**options)
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"units must be a whole number, 1 or more. Received: {units!r}.")
        self.units = units

    def build(self, input_shape: tuple) -> None:
        """Makes the context parameters, which begin at zero."""
        self.context = self.add_weight(shape=(self.units,), initializer="zeros", name="context")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Appends the context to every example, and to every position of an image."""
        shape = (*keras.ops.shape(inputs)[:-1], self.units)
        context = keras.ops.broadcast_to(keras.ops.cast(self.context, inputs.dtype), shape)
        return keras.ops.concatenate([inputs, context], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's shape, its last axis longer by `units`."""
        return (*input_shape[:-1], input_shape[-1] + self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units}
