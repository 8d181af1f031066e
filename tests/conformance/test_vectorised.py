"""Tasks in one pass give what tasks one after another give, in float64, through every layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import zoo
from tests.marks import marked
from tfmeta.inner import hessian_vector_product
from tfmeta.parallel import map_tasks

TASKS = 2
TOLERANCE = 1e-9

# Operations that run tasks one at a time within a vectorised map.
LOOPS = {"While", "StatelessWhile", "MapDefun"}


def function_of_a_task(layer, own_weights):
    """(function of one task, tasks): loss, gradient and second-order product of a task.

    Args:
        layer: of the zoo.
        own_weights: whether every task has weights of its own, as after an inner step, or all
            start from the same.
    """
    pure = layer.pure()
    state = zoo.state_of(pure.network)
    weights = zoo.weights_near(pure.network, seed=1, tasks=TASKS if own_weights else None)
    inputs, targets = layer.examples(TASKS, 3)
    vector = zoo.weights_near(pure.network, seed=2)

    def one(task):
        inputs, targets, *own = task
        current = own[0] if own else weights
        loss = zoo.squared_error(pure, state, inputs, targets)
        with tf.GradientTape() as tape:
            tape.watch(current)
            value = loss(current)
        gradient = [tf.convert_to_tensor(g) for g in tape.gradient(value, current)]
        return value, gradient, hessian_vector_product(loss, current, vector)

    return one, (inputs, targets, *([weights] if own_weights else []))


def operations(concrete):
    """Types of all operations of a function and of those it calls."""
    definition = concrete.graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes.extend(function.node_def)
    return {node.op for node in nodes}


def compare(layer, own_weights):
    function, tasks = function_of_a_task(layer, own_weights)
    vectorised = tf.function(
        lambda tasks: map_tasks(function, tasks, parallel="vectorized"), autograph=False
    ).get_concrete_function(tasks)

    assert not operations(vectorised) & LOOPS
    actual = keras.tree.flatten(vectorised(*keras.tree.flatten(tasks)))
    for task in range(TASKS):
        expected = function(keras.tree.map_structure(lambda t, i=task: t[i], tasks))
        for a, e in zip(actual, keras.tree.flatten(expected), strict=True):
            scale = max(1.0, float(tf.reduce_max(tf.abs(e))))
            np.testing.assert_allclose(a[task], e, rtol=0, atol=TOLERANCE * scale)


# `tests/parallel/converters` compares converters of every option and operand.
SHARED = ("conv2d_strided", "conv2d_grouped", "conv3d_strided", "depthwise2d_strided")


OWN = [name for name in zoo.LAYERS if name not in zoo.FURTHER]
CONVOLUTIONS = [name for name in zoo.LAYERS if "conv" in name or "depthwise" in name]
QUICK = (*zoo.KINDS, "conv2d_grouped", "depthwise2d_strided", "residual_block")


@pytest.mark.parametrize("name", marked(zoo.LAYERS, QUICK, OWN))
def test_tasks_with_weights_of_their_own_are_vectorised_without_a_loop(name):
    compare(zoo.LAYERS[name], own_weights=True)


# Other operations do not ask whether weights differ.
@pytest.mark.parametrize("name", marked(CONVOLUTIONS, SHARED[:1], SHARED))
def test_tasks_that_share_weights_are_vectorised_without_a_loop(name):
    compare(zoo.LAYERS[name], own_weights=False)


def test_every_task_drops_units_of_its_own_as_tasks_one_after_another_do():
    layer = zoo.LAYERS["dropout_plain"]
    pure = layer.pure(dropout=True)
    state, weights = zoo.state_of(pure.network), zoo.weights_near(pure.network, seed=1)
    inputs, _ = layer.examples(3)
    keys = tf.constant([[0, task] for task in range(TASKS)])

    def outputs(key):
        return pure(weights, state, inputs, batch_statistics=True, key=key)[0]

    vectorised = map_tasks(outputs, keys, parallel="vectorized")
    np.testing.assert_allclose(vectorised, [outputs(key) for key in keys], rtol=0, atol=TOLERANCE)
    assert np.abs(vectorised[0] - vectorised[1]).max() > 1e-3
