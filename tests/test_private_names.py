"""Every private name of TensorFlow and Keras that tfmeta uses exists in the installed versions.

The names are read from the sources, so that a new one must be added here; where a version lacks
one, the test names it with the line that uses it.
"""

import ast
import importlib
import operator

import keras
import pytest
import tensorflow as tf

from tests.test_import_directions import SOURCES
from tfmeta.derivatives.exact import REPLACED

PRIVATE_MODULES = ("keras.src", "tensorflow.core", "tensorflow.python")
# Underscored names of Python's own objects.
STANDARD = {"_asdict", "_exit", "_fields", "_initializing"}
# Reached over a variable, or assigned, where the sources do not show whose they are.
FURTHER = {
    *(
        (replaced.owner.__name__, ".".join(filter(None, (replaced.within, replaced.name))))
        for replaced in REPLACED
        if replaced.owner is not tf.nn
    ),
    ("tensorflow.python.framework.ops", "Graph._create_op_internal"),
}


def attributes_of_modules(tree):
    """{(private module, dotted name in it): line} of what a module imports and looks up."""
    found, aliases = {}, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PRIVATE_MODULES):
            for alias in node.names:
                aliases[alias.asname or alias.name] = (node.module, alias.name)
                found[node.module, alias.name] = node.lineno
    for node in ast.walk(tree):
        chain, inner = [], node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if chain and isinstance(inner, ast.Name) and inner.id in aliases:
            module, name = aliases[inner.id]
            found[module, ".".join([name, *chain])] = node.lineno
    return found


def missing_names(names):
    """The (module, dotted name) pairs that the installed versions lack."""
    return [(module, name) for module, name in names if not _exists(module, name)]


def _exists(module, name):
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    parts = name.split(".")
    for position, part in enumerate(parts):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:  # a module of a package that does not import it by itself
                found = importlib.import_module(".".join([module, *parts[: position + 1]]))
            except ImportError:
                return False
    return True


def foreign_attributes(trees):
    """{underscored attribute: a line that uses it} of those that tfmeta does not define."""
    used, defined = {}, set()
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.keyword):
                defined.add(node.arg)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            elif isinstance(node, ast.Attribute):
                used.setdefault(node.attr, f"{module}:{node.lineno}")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
                name = getattr(node.args[1], "value", None)
                used.setdefault(name if isinstance(name, str) else "", f"{module}:{node.lineno}")
    return {
        name: line
        for name, line in used.items()
        if name.startswith("_") and not name.startswith("__") and name not in defined | STANDARD
    }


def owners():
    """{underscored attribute: an object of TensorFlow or Keras that must have it}."""
    from tensorflow.python.distribute.values import PerReplicaSpec

    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    network.compile("sgd", "mse", metrics=["mae"])
    layer = network.layers[-1]
    return {
        "_build_shapes_dict": layer,
        "_called": network,
        "_compile_metrics": network,
        "_flatten_layers": network,
        "_inbound_nodes": layer,
        "_get_function": tf.Graph(),
        "_functional": keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]),
        "_fn_kwargs": keras.losses.MeanSquaredError(),
        "_inputs_struct": network,
        "_keras_history": network.outputs[0],
        "_loss_tracker": network,
        "_nodes_by_depth": network,
        "_non_trainable_variables": layer,
        "_outputs_struct": network,
        "_remat_mode": network,
        "_seed_generators": layer,
        "_standardize_inputs": network,
        "_track_trackable": network,
        "_value_specs": PerReplicaSpec(tf.TensorSpec(())),
        "_variant_tensor": tf.data.Dataset.range(1),
    }


@pytest.fixture(scope="module")
def trees():
    return {module: ast.parse(path.read_text("utf-8")) for module, path in SOURCES.items()}


def test_names_of_private_modules_exist(trees):
    found = {}
    for module, tree in trees.items():
        for name, line in attributes_of_modules(tree).items():
            found.setdefault(name, f"{module}:{line}")
    found.update(dict.fromkeys(FURTHER, "FURTHER"))
    lines = [f"{'.'.join(name)}, used in {found[name]}" for name in missing_names(found)]
    assert not lines, (
        f"TensorFlow {tf.__version__} with Keras {keras.__version__} lacks: " + "; ".join(lines)
    )


def test_private_attributes_of_objects_exist(trees):
    used, known = foreign_attributes(trees), owners()
    of_modules = {name for tree in trees.values() for _, name in attributes_of_modules(tree)}
    looked_up = {part for name in of_modules for part in name.split(".")}
    assert set(used) <= set(known) | looked_up, "Add to `owners` whose attribute each of them is."
    lacking = [f"{name} of {type(owner)}" for name, owner in known.items() if not has(owner, name)]
    assert not lacking, f"Keras {keras.__version__} lacks: {lacking}"


def has(owner, name):
    try:
        operator.attrgetter(name)(owner)
    except AttributeError:
        return False
    return True


def test_a_missing_name_is_found():
    source = (
        "from tensorflow.python.ops import nn_ops as n\n\n\ndef f():\n    n.gen_nn_ops.gone()\n"
    )
    names = attributes_of_modules(ast.parse(source))
    assert missing_names(names) == [("tensorflow.python.ops", "nn_ops.gen_nn_ops.gone")]
    assert missing_names([("keras.src.gone", "name")]) == [("keras.src.gone", "name")]
    assert set(foreign_attributes({"m": ast.parse("layer._gone")})) == {"_gone"}
