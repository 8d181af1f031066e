"""What a stock TensorFlow Serving refuses, found in the graph before the model is handed out.

It disables XLA, has no Python, and knows only TensorFlow's own operations. A reload in Python
hides all three.
"""

import tensorflow as tf

PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
COMPILED = "_XlaMustCompile"


def refuse_unservable(meta_graph):
    """Raises where a MetaGraphDef needs XLA, Python, or an operation that is not TensorFlow's.

    Also clears the device of every node, so that the same graph serves a CPU and a GPU.

    Raises:
        ValueError: naming the layer (by the graph's name scope) and the operation.
    """
    graph = meta_graph.graph_def
    compiled = {
        function.signature.name
        for function in graph.library.function
        if COMPILED in function.attr and function.attr[COMPILED].b
    }
    # Sorted, because the order of a graph's functions differs from one save to the next.
    for function_name, node in sorted(nodes(graph), key=lambda found: found[1].name):
        where = f"{node.name} (operation {node.op}, in {function_name})"
        if _compiled(node) or _called(node) & compiled:
            raise ValueError(
                "An exported network must not need XLA, which TensorFlow Serving disables. "
                f"Received: {where}, which is compiled with jit_compile=True, as Keras does for "
                "grouped convolutions and dilated depthwise ones. Replace that layer, for a "
                "grouped convolution by one convolution a group and a concatenation."
            )
        if node.op in PYTHON_OPS:
            raise ValueError(
                "An exported network must not call Python, which a server does not have. "
                f"Received: {where}. Write that layer with TensorFlow's operations."
            )
        if not hasattr(tf.raw_ops, node.op):
            raise ValueError(
                "An exported network must consist of TensorFlow's own operations. "
                f"Received: {where}. Write that layer with them, or serve it from a server that "
                "was built with the operation."
            )
        node.device = ""


def nodes(graph):
    """(function's name, node) of every node of a GraphDef and its functions."""
    for function in graph.library.function:
        for node in function.node_def:
            yield function.signature.name, node
    for node in graph.node:
        yield "the graph", node


def _compiled(node):
    return COMPILED in node.attr and node.attr[COMPILED].b


def _called(node):
    """Names of the functions that a node calls."""
    names = set()
    for value in node.attr.values():
        names.add(value.func.name)
        names.update(function.name for function in value.list.func)
    return names - {""}
