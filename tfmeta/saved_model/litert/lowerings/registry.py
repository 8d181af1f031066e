"""Which function writes which operation in builtins of LiteRT."""

from collections.abc import Callable
from typing import Any

LOWERINGS: dict[str, Callable[..., Any]] = {}


def lowering(*types):
    """Registers a function of an operation and its new inputs to its outputs.

    The function returns None for an operation that it leaves to the converter.

    Args:
        *types: of operations, as `tf.Operation.type`.
    """

    def register(function):
        for kind in types:
            LOWERINGS[kind] = function
        return function

    return register


def lowered(operation, inputs):
    """A translation (`replay`): the operation in builtins, or None where it is one of them."""
    function = LOWERINGS.get(operation.type)
    return None if function is None else function(operation, *inputs)
