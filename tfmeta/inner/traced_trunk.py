"""A trunk that is traced once, and called by every graph that needs it."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.trunk import Features, Trunk


class TracedTrunk:
    """A trunk as one `tf.function`, for graphs that take no derivative of it.

    The derivatives of a called function are TensorFlow's own, not the exact ones of
    `tfmeta.derivatives.exact`. A SavedModel's signatures take derivatives by what adapts alone, so
    their trunk can be one function. It is traced once for all sets whose size is not known while
    tracing, as in a SavedModel, and once for each size that is, as in a LiteRT file.

    Args:
        trunk: `Trunk`.
    """

    def __init__(self, trunk: Trunk):
        self._trunk = trunk
        self._traced = {}

    def weights_of(self, weights: Sequence) -> list:
        """As of `Trunk`."""
        return self._trunk.weights_of(weights)

    def answers_alone(self, *, batch_statistics: bool) -> bool:
        """As of `Trunk`."""
        return self._trunk.answers_alone(batch_statistics=batch_statistics)

    def features(
        self,
        pure: Any,
        weights: Sequence,
        state: Sequence,
        inputs: Any,
        *,
        batch_statistics: bool,
        example_weights: tf.Tensor | None = None,
    ) -> Features:
        """As of `Trunk`, by a call of the traced function."""
        options = {"batch_statistics": batch_statistics, "example_weights": example_weights}
        trunk, flat = self._trunk, keras.tree.flatten(inputs)
        if example_weights is not None or any(t.shape.rank is None for t in flat):
            return trunk.features(pure, weights, state, inputs, **options)
        given = (trunk.weights_of(weights), trunk.state_of(state), flat)
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), given)
        key = (batch_statistics, repr(specs))
        if key not in self._traced:
            counts = (len(weights), len(state))
            self._traced[key] = self._trace(pure, specs, counts, inputs, batch_statistics)
        function, found = self._traced[key]
        leaves = function(*tf.nest.flatten(given))
        of = {"inputs": inputs, "weights": given[0], "state": given[1]}
        return found.replaced(tf.nest.flatten(leaves), **of)

    def _trace(self, pure, specs, counts, inputs, batch_statistics):
        """The concrete function of flat arguments, and features that show what comes out."""
        trunk, found = self._trunk, []

        def traced(*arguments):
            weights, state, flat = tf.nest.pack_sequence_as(specs, arguments)
            features = trunk.features(
                pure,
                trunk.placed_weights(weights, counts[0]),
                trunk.placed_state(state, counts[1]),
                keras.tree.pack_sequence_as(inputs, flat),
                batch_statistics=batch_statistics,
            )
            found.append(features)
            return features.leaves

        traced.__name__ = "trunk"
        # Outside the graph of the signature that happens to be first: others call it too.
        with tf.init_scope():
            function = tf.function(traced, autograph=False)
            concrete = function.get_concrete_function(*tf.nest.flatten(specs))
        return concrete, found[0]
