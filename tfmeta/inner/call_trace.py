"""One call of a network, traced: the random operations that its outputs depend on.

The graph also holds the scopes of the layers' calls and the variables that were assigned.
"""

import collections
import inspect
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.keras_internals import is_seed
from tfmeta.inner.layer_settings import layer_settings
from tfmeta.inner.traced_layers import TracedLayers, called_nodes, library_of

# Random operations that do not say so by their name.
_DRAWS = {
    "Multinomial",
    "StatelessMultinomial",
    "TruncatedNormal",
    "ParameterizedTruncatedNormal",
    "StatelessTruncatedNormal",
    "StatelessTruncatedNormalV2",
    "StatelessParameterizedTruncatedNormal",
    "StatefulStandardNormalV2",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "StatefulUniformFullInt",
    "StatefulUniformInt",
    "StatelessShuffle",
    "SampleDistortedBoundingBoxV2",
    "StatelessSampleDistortedBoundingBox",
}


class CallTrace:
    """One traced call: random operations that count, assigned variables, outputs."""

    def __init__(self, network, specs, *, training, noisy=(), kept=()):
        self._network, self._layers = network, TracedLayers()
        self.updated: list[Any] = []
        silent = bool(noisy)

        def traced(weights, state, inputs):
            self._layers.watch(tf.compat.v1.get_default_graph())
            mapping = zip(_variables(network), [*weights, *state], strict=True)
            settings = layer_settings(network, noisy, kept, noise=not silent, training=training)
            with settings, _Recording(list(mapping), self.updated) as scope:
                if "training" in inspect.signature(network.call).parameters:
                    self.outputs = network.call(inputs, training=training)
                else:
                    self.outputs = network(inputs, training=training)
                losses = network.losses
            values = [scope.get_current_value(v) for v in network.non_trainable_variables]
            self.moved = [
                position
                for position, (variable, old, new) in enumerate(
                    zip(network.non_trainable_variables, state, values, strict=True)
                )
                if new is not old and not is_seed(variable)
            ]
            self._targets = [
                t
                for t in [*keras.tree.flatten(self.outputs), *losses]
                + [values[position] for position in self.moved]
                if tf.is_tensor(t)
            ]
            return []

        specs_of = [
            [tf.TensorSpec(v.shape, v.dtype) for v in variables]
            for variables in (network.trainable_variables, network.non_trainable_variables)
        ]
        function = tf.function(traced, autograph=False)
        self._graph = function.get_concrete_function(*specs_of, specs).graph
        self._library = library_of(self._graph)
        self._random = self._random_operations()

    @property
    def draws(self):
        """Layer -> number of random operations that the outputs depend on."""
        return collections.Counter(self._layer(op) for op in self._random)

    @property
    def unsettled(self):
        """Layers with random numbers that differ from call to call."""
        return {self._layer(op) for op in self._random if self._is_unsettled(op)}

    @property
    def unseeded(self):
        """Layers that draw from TensorFlow's own generators, which no key reaches."""
        return {self._layer(op) for op in self._random if self._is_stateful(op)}

    @property
    def read_past_keras(self):
        """Weights that were read as variables, where a learner gives tensors in their place."""
        read = {id(variable) for variable in self._graph.variables}
        return [v for v in _variables(self._network) if id(v.value) in read]

    def assigning(self):
        """Layers that assign a `tf.Variable` by TensorFlow's own operations."""
        return {
            self._layer(op)
            for op in self._graph.get_operations()
            if any(name.startswith("Assign") for name in self._types(op))
        }

    def _layer(self, op):
        return self._layers.made(op) or self._network

    def _types(self, op):
        return [op.type, *(node.op for node in called_nodes(op, self._library))]

    def _random_operations(self):
        pending, seen, found = [t.op for t in self._targets], set(), []
        while pending:
            op = pending.pop()
            if id(op) in seen:
                continue
            seen.add(id(op))
            pending.extend(t.op for t in op.inputs)
            if any(map(_is_random, self._types(op))):
                found.append(op)
        return found

    def _is_stateful(self, op):
        return any(
            _is_random(name) and not name.startswith("Stateless") for name in self._types(op)
        )

    def _is_unsettled(self, op):
        if self._is_stateful(op) or not _is_random(op.type):
            return True
        # The first input is the shape; the others hold the seed.
        pending, seen = [t.op for t in op.inputs[1:]], set()
        while pending:
            source = pending.pop()
            if source.type == "Placeholder":
                return True
            if id(source) not in seen:
                seen.add(id(source))
                pending.extend(t.op for t in source.inputs)
        return False


class _Recording(keras.StatelessScope):
    def __init__(self, mapping, updated):
        super().__init__(mapping, collect_losses=True)
        self._updated = updated

    def add_update(self, update):
        self._updated.append(update[0])
        super().add_update(update)


def _is_random(name):
    return ("Random" in name and "GetKey" not in name and "GetAlg" not in name) or name in _DRAWS


def _variables(network):
    return [*network.trainable_variables, *network.non_trainable_variables]
