"""Which Keras layer made an operation of a traced graph, and what the operation calls."""

import tensorflow as tf

from tfmeta.inner.keras_internals import running_layers

# Calls of other functions: their bodies are looked through instead.
CALLS = {"PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient"}


class TracedLayers:
    """The innermost layer that was running when an operation was made.

    Example:
        >>> import keras, tensorflow as tf
        >>> from tfmeta.inner.traced_layers import TracedLayers
        >>> layers, dense = TracedLayers(), keras.layers.Dense(2)
        >>> dense.build((None, 3))
        >>> def traced(x):
        ...     layers.watch(tf.compat.v1.get_default_graph())
        ...     return dense(x)
        >>> graph = tf.function(traced).get_concrete_function(tf.TensorSpec((1, 3))).graph
        >>> product = next(op for op in graph.get_operations() if op.type == "MatMul")
        >>> layers.of(product) is dense
        True
    """

    def __init__(self):
        self._of_scope, self._of_name = {}, {}

    def watch(self, graph):
        """Remembers the innermost running layer for what is added to this graph from now on."""
        create = graph._create_op_internal

        def create_op(*args, **kwargs):
            op = create(*args, **kwargs)
            running = running_layers()
            if running:
                self._of_scope.setdefault(scope_of(op.name), running[-1])
                self._of_name[op.name] = running[-1]
            return op

        graph._create_op_internal = create_op

    def made(self, op):
        """The layer that ran when `op` itself was made; None if there was none."""
        return self._of_name.get(op.name)

    def of(self, op):
        """The layer of an operation, or of the one whose gradient it is; None if unknown."""
        scope = scope_of(op.name.removeprefix("gradient_tape/"))
        while scope and scope not in self._of_scope:
            scope = scope_of(scope)
        if scope or op.type not in CALLS:
            return self._of_scope.get(scope)
        # The gradient of a called function has no scope, but it reads what the function left.
        forward = [t.op for t in op.inputs if t.op.type == op.type]
        return self.of(forward[0]) if forward else None


def scope_of(name):
    """The name scope of an operation's name: "a/b" of "a/b/c"."""
    return name.rpartition("/")[0]


def library_of(graph) -> dict:
    """The functions of a graph by name, as `called_nodes` takes them."""
    return {f.signature.name: f for f in graph.as_graph_def().library.function}


def called_nodes(op, library):
    """Nodes of all the functions that an operation calls, however deep."""
    pending, seen, nodes = _function_names(op.node_def), set(), []
    while pending:
        name = pending.pop()
        if name in seen or name not in library:
            continue
        seen.add(name)
        for node in library[name].node_def:
            nodes.append(node)
            pending.extend(_function_names(node))
    return nodes


def _function_names(node: tf.compat.v1.NodeDef):
    values = node.attr.values()
    return [value.func.name for value in values if value.HasField("func")] + [
        function.name for value in values for function in value.list.func
    ]
