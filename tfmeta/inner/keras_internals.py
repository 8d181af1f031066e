"""What tfmeta needs of Keras beyond its public names: the only module that imports `keras.src`.

`tests/test_private_names.py` names what a version of Keras lacks.
"""

from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional, operation_fn
from keras.src.random.seed_generator import global_seed_generator

__all__ = [
    "functional_graph",
    "global_seed_generator",
    "graph_nodes",
    "is_seed",
    "operation_fn",
    "renormalises",
    "running_layers",
    "standardized_inputs",
    "symbolic_calls",
]


def running_layers() -> list[keras.layers.Layer]:
    """The layers whose calls are running on this thread, the innermost last."""
    return [
        scope.caller
        for scope in global_state.get_global_attribute("name_scope_stack") or []
        if isinstance(scope.caller, keras.layers.Layer)
    ]


def renormalises(layer: keras.layers.BatchNormalization) -> bool:
    """Whether a batch normalisation renormalises; a Keras without `renorm` never does."""
    return getattr(layer, "renorm", False)


def is_seed(variable: Any) -> bool:
    """Whether a variable is the state of a `keras.random.SeedGenerator`."""
    return variable.path.split("/")[-1] == "seed_generator_state"


def functional_graph(operation) -> keras.Model | None:
    """The functional model whose graph of layers a model's call runs; None where it runs code.

    Args:
        operation: a Keras operation: a model, a layer, or one of `keras.ops`.
    """
    if not isinstance(operation, keras.Model):
        return None
    plain = operation.dtype_policy.quantization_mode is None
    if not plain or getattr(operation, "_remat_mode", None) is not None:
        return None
    if isinstance(operation, keras.Sequential) and type(operation).call is keras.Sequential.call:
        return operation._functional
    if isinstance(operation, Functional) and type(operation).call is Functional.call:
        return operation
    return None


def graph_nodes(functional) -> list:
    """The calls of a functional model, in the order in which Keras runs them, without inputs."""
    by_depth = functional._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in nodes if node.operation and not node.is_input]


def symbolic_calls(operation) -> list[tuple[list, list]]:
    """What an operation was called with, in every graph: (symbolic tensors, other arguments).

    Args:
        operation: a layer or an operation of `keras.ops`.
    """
    found = []
    for node in operation._inbound_nodes:
        given = (*node.arguments.args, *node.arguments.kwargs.values())
        others = [value for value in given if not _holds_symbols(value)]
        found.append((list(node.input_tensors), others))
    return found


def _holds_symbols(value):
    return any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten(value))


def standardized_inputs(functional, inputs) -> list:
    """Inputs as a functional model's layers get them: a flat list of the right type and rank."""
    return functional._standardize_inputs(inputs)
