"""The formula of operations, against counts by hand and against a count of real products."""

import dataclasses

import pytest
import tensorflow as tf

from benchmarks import operations
from benchmarks.algorithms import IMAML, MAML, Adaptation, Reptile
from benchmarks.sinusoid_problem import SinusoidProblem
from benchmarks.workloads import WORKLOADS, Workload

# 1-40-40-1 with 10 points: products of 1 x 40, 40 x 40 and 40 x 1, two operations each.
FORWARD = 2 * 10 * (1 * 40 + 40 * 40 + 40 * 1)
FIRST = 2 * 10 * 1 * 40
GRADIENT = 3 * FORWARD - FIRST
HESSIAN_VECTOR = 6 * FORWARD - 4 * FIRST
PROBLEM = SinusoidProblem("sinusoid", tasks=25, shots=10, queries=10)


@pytest.mark.parametrize(
    ("algorithm", "one_task"),
    [
        (MAML(1, 0.1), 2 * GRADIENT + HESSIAN_VECTOR),
        (MAML(5, 0.1), 6 * GRADIENT + 5 * HESSIAN_VECTOR),
        (MAML(5, 0.1, first_order=True), 6 * GRADIENT),
        (Reptile(5, 0.1, batch_size=5), 5 * GRADIENT / 2),
        (IMAML(16, 0.1, 2.0, cg_steps=5), 18 * GRADIENT + 5 * HESSIAN_VECTOR),
        (Adaptation(50, 0.1), 50 * GRADIENT + FORWARD),
    ],
)
def test_operations_equal_a_count_by_hand(algorithm, one_task):
    assert operations.operations(Workload(PROBLEM, algorithm)) == 25 * one_task


def test_layers_of_the_omniglot_network_equal_a_count_by_hand():
    layers = operations.conv4_layers(WORKLOADS["omniglot_5way_1shot"].problem)
    # Strides of 2 leave 14, 7, 4 and 2 rows and columns.
    assert layers == [
        (14 * 14, 9, 64),
        (7 * 7, 576, 64),
        (4 * 4, 576, 64),
        (2 * 2, 576, 64),
        (1, 64, 5),
    ]


def test_layers_of_the_mini_imagenet_network_equal_a_count_by_hand():
    layers = operations.conv4_layers(WORKLOADS["mini_imagenet_5way_1shot"].problem)
    # Convolutions before the pooling: 84, 42, 21 and 10 rows and columns, then 5.
    positions = [layer.positions for layer in layers]
    assert positions == [84 * 84, 42 * 42, 21 * 21, 10 * 10, 1]
    assert [layer.reduced for layer in layers] == [27, 288, 288, 288, 5 * 5 * 32]


@pytest.mark.parametrize("first_order", [False, True])
def test_autodiff_of_tensorflow_makes_as_many_products(first_order):
    """Of a network as deep as the problem's; a product is made for each shape that is counted."""
    problem = dataclasses.replace(PROBLEM, tasks=1)
    weights = [tf.constant(w, tf.float32) for w in problem.weights().values()]
    support_x, support_y, query_x, query_y = (
        tf.constant(array[0], tf.float32) for array in problem.batch()
    )

    def loss(weights, x, y):
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            x = tf.nn.relu(x @ kernel + bias)
        return tf.reduce_mean((x @ weights[-2] + weights[-1] - y) ** 2)

    @tf.function(autograph=False)
    def meta_gradient():
        with tf.GradientTape() as outer:
            outer.watch(weights)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                value = loss(weights, support_x, support_y)
            gradients = tape.gradient(value, weights)
            if first_order:
                gradients = [tf.stop_gradient(gradient) for gradient in gradients]
            moved = [w - 0.01 * g for w, g in zip(weights, gradients, strict=True)]
            value = loss(moved, query_x, query_y)
        return outer.gradient(value, weights)

    graph = meta_gradient.get_concrete_function().graph
    made = sum(operation.type == "MatMul" for operation in graph.get_operations())
    workload = Workload(problem, MAML(1, 0.01, first_order))
    assert made == sum(operations.products(workload).values())
