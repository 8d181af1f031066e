"""A functional network cut in two: the layers that nothing which changes reaches, and the rest."""

from typing import cast

import keras

from tfmeta.inner.example_wise import answers_alone
from tfmeta.inner.keras_internals import (
    functional_graph,
    graph_nodes,
    operation_fn,
    standardized_inputs,
)

_KERAS = "keras.src."


class GraphCut:
    """The two parts of a functional or sequential network, each a function.

    Args:
        network: a built `keras.Model`.
        changes: function of an operation to whether it changes between two calls of the network.
            What depends on such an operation lies behind the cut.
        keeps_state: function of an operation to whether a call moves its state. Such an
            operation is on one side of the cut only.

    Attributes:
        operations: the operations before the cut.
    """

    def __init__(self, network, changes, keeps_state=lambda operation: False):
        self._graph = cast(keras.Model, functional_graph(network))  # as `takes` says
        self._calls = _calls(self._graph, (), changes, opens=not _makes_masks(network))
        before, behind = _divided(self._calls, lambda call: changes(call.operation))
        ids = {id(operation) for operation in _operations(behind)}
        again = {id(op) for op in _operations(before) if id(op) in ids and keeps_state(op)}
        if again:
            before, behind = _divided(
                self._calls, lambda call: changes(call.operation) or id(call.operation) in again
            )
        self._before, self._behind = before, behind
        self.operations = _operations(before)
        self._outputs = [((), id(tensor)) for tensor in self._graph.outputs]
        made = {key for call in behind for key in call.writes}
        read = [key for call in behind for key in call.reads] + self._outputs
        self._keys = [key for key in dict.fromkeys(read) if key not in made]
        symbols = {key: symbol for call in before for key, symbol in call.symbols.items()}
        symbols.update({((), id(tensor)): tensor for tensor in self._graph.inputs})
        self._shapes = [symbols[key].shape for key in self._keys]

    @staticmethod
    def takes(network) -> bool:
        """Whether a network can be cut: it is a graph of layers with one output."""
        graph = functional_graph(network)
        return graph is not None and len(graph.outputs) == 1

    def answers_alone(self, *, training) -> bool:
        """Whether what is before the cut is known to answer each example by itself.

        Args:
            training: whether layers run in training mode.
        """
        known = all(answers_alone(op, training=training) for op in self.operations)
        return known and all(shape and shape[0] is None for shape in self._shapes)

    def before(self, inputs, *, training) -> list:
        """What the layers behind the cut read: a list of tensors (or None, of absent inputs).

        Args:
            inputs: tensor [N, ...] or a structure of them, as the network takes them.
            training: whether layers run in training mode.
        """
        values = _Values()
        flat = standardized_inputs(self._graph, inputs)
        for symbol, value in zip(self._graph.inputs, flat, strict=True):
            values[(), id(symbol)] = value
        for call in self._before:
            call.run(values, training)
        return [values[key] for key in self._keys]

    def behind(self, tensors, *, training):
        """The network's output.

        Args:
            tensors: what `before` returned.
            training: whether layers run in training mode.
        """
        values = _Values()
        for key, value in zip(self._keys, tensors, strict=True):
            values[key] = value
        for call in self._behind:
            call.run(values, training)
        return values[self._outputs[0]]


class _Values:
    """Tensors by (path of the model, id of the symbolic tensor)."""

    def __init__(self):
        self._models = {}

    def __getitem__(self, key):
        return self._models[key[0]][key[1]]

    def __setitem__(self, key, value):
        self._models.setdefault(key[0], {})[key[1]] = value

    def of(self, path):
        """The tensors of one model, as Keras fills them in."""
        return self._models.setdefault(path, {})


class _Call:
    """One call of a layer or operation."""

    def __init__(self, path, node):
        self.operation, self._path, self._arguments = node.operation, path, node.arguments
        self.reads = [(path, id(tensor)) for tensor in node.input_tensors]
        self.symbols = {(path, id(tensor)): tensor for tensor in node.outputs}
        self.writes = list(self.symbols)

    def run(self, values, training):
        arguments, options = self._arguments.fill_in(values.of(self._path))
        outputs = operation_fn(self.operation, training=training)(*arguments, **options)
        for key, value in zip(self.writes, keras.tree.flatten(outputs), strict=True):
            values[key] = value


class _Enter:
    """Inputs of a nested model's call become those of its own graph."""

    operation = None

    def __init__(self, path, node, within, graph):
        self._path, self._arguments, self._graph = path, node.arguments, graph
        self.reads = [(path, id(tensor)) for tensor in node.input_tensors]
        self.symbols = {(within, id(tensor)): tensor for tensor in graph.inputs}
        self.writes = list(self.symbols)

    def run(self, values, training):
        (inputs,), _ = self._arguments.fill_in(values.of(self._path))
        flat = standardized_inputs(self._graph, inputs)
        for key, value in zip(self.writes, flat, strict=True):
            values[key] = value


class _Leave:
    """Outputs of a nested model's own graph become those of its call."""

    operation = None

    def __init__(self, path, node, within, graph):
        self.reads = [(within, id(tensor)) for tensor in graph.outputs]
        self.symbols = {(path, id(tensor)): tensor for tensor in node.outputs}
        self.writes = list(self.symbols)

    def run(self, values, training):
        for key, source in zip(self.writes, self.reads, strict=True):
            values[key] = values[source]


def _calls(graph, path, changes, *, opens):
    """The calls of a graph, those of nested models that change in part among them."""
    calls: list[_Call | _Enter | _Leave] = []
    for position, node in enumerate(graph_nodes(graph)):
        nested = functional_graph(node.operation) if opens else None
        if nested is None or not changes(node.operation) or not _is_plain(node, nested):
            calls.append(_Call(path, node))
            continue
        within = (*path, position)
        calls.append(_Enter(path, node, within, nested))
        calls += _calls(nested, within, changes, opens=opens)
        calls.append(_Leave(path, node, within, nested))
    return calls


def _is_plain(node, graph):
    """Whether a call of a nested model does nothing beside running the model's graph."""
    model, arguments = node.operation, node.arguments
    options = {name for name, value in arguments.kwargs.items() if value is not None}
    types = {model.compute_dtype, model.variable_dtype, *(t.dtype for t in graph.inputs)}
    return (
        len(arguments.args) == 1
        and options <= {"training"}
        and model.activity_regularizer is None
        and (model is graph or len(types) == 1)
    )


def _makes_masks(network):
    """Whether a tensor between a network's layers may carry a mask, which a model's call sees."""
    return any(
        not type(layer).__module__.startswith(_KERAS)
        or isinstance(layer, (keras.layers.Lambda, keras.layers.Masking))
        or getattr(layer, "mask_zero", False)
        for layer in network._flatten_layers()
    )


def _divided(calls, changes):
    """(calls that nothing which changes reaches, the others), each in order."""
    moving: set[tuple[tuple, int]] = set()
    before, behind = [], []
    for call in calls:
        own = call.operation is not None and changes(call)
        if own or not moving.isdisjoint(call.reads):
            moving.update(call.writes)
            behind.append(call)
        else:
            before.append(call)
    return before, behind


def _operations(calls):
    """The operations of calls, each once."""
    return list(dict.fromkeys(call.operation for call in calls if call.operation is not None))
