"""A function of tensors that is traced once, and called by every graph that needs it."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class SharedFunction:
    """A function that the signatures of a SavedModel share: they call it, instead of tracing it.

    It is traced once for each kind of arguments: their structure, shapes and types, and the values
    of arguments that are no tensors. A graph that calls it must not be differentiated: the
    derivatives of a called function are TensorFlow's own, not those of `tfmeta.derivatives.exact`.

    Args:
        function: of structures of tensors and Python values to a structure of tensors. It may
            read variables.
        name: of the function in the graph.
    """

    def __init__(self, function: Callable, name: str):
        self._function, self._name = function, name
        self._traced: dict[str, Callable] = {}

    def __call__(self, *arguments: Any) -> Any:
        leaves = tf.nest.flatten(arguments)
        tensors = [leaf for leaf in leaves if tf.is_tensor(leaf)]
        specs = [
            tf.TensorSpec(leaf.shape, leaf.dtype) if tf.is_tensor(leaf) else leaf for leaf in leaves
        ]
        key = repr(tf.nest.pack_sequence_as(arguments, specs))
        if key not in self._traced:
            self._traced[key] = self._trace(arguments, specs)
        return self._traced[key](*tensors)

    def _trace(self, arguments, specs):
        def traced(*tensors):
            given = iter(tensors)
            filled = [next(given) if isinstance(s, tf.TensorSpec) else s for s in specs]
            return self._function(*tf.nest.pack_sequence_as(arguments, filled))

        traced.__name__ = self._name
        # Not in `tf.init_scope`, which stops gradient tapes. Only tensors that are given and
        # variables are read, so graphs other than the one of the first call may call it too.
        function = tf.function(traced, autograph=False)
        return function.get_concrete_function(
            *(spec for spec in specs if isinstance(spec, tf.TensorSpec))
        )
