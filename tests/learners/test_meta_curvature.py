"""Meta-Curvature: the inner gradient times a learned matrix along each of its modes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, squared_error, values


def gradients_of(weights, examples):
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = squared_error(weights, examples)
    return tape.gradient(loss, weights)


@pytest.mark.usefixtures("without_traces")
def test_with_identities_it_is_maml(problem):
    learner = compiled(tfmeta.MetaCurvature(problem.network(), inner_rate=0.3, inner_steps=2))
    maml = compiled(tfmeta.MAML(problem.network(), inner_rate=0.3, inner_steps=2))
    found, _ = learner.meta_gradient(*problem.batch)
    expected, _ = maml.meta_gradient(*problem.batch)
    assert relative_error(found[:4], expected) < 1e-12


def test_a_step_is_the_rate_times_the_matrices_times_the_gradient(problem):
    learner = compiled(tfmeta.MetaCurvature(problem.network(), inner_rate=0.3))
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=v.shape) for v in learner.variables_of("curvature")]
    for variable, matrix in zip(learner.variables_of("curvature"), matrices, strict=True):
        variable.assign(matrix)
    kernel_in, kernel_out, bias, head_in, head_out, head_bias = matrices
    weights = values(learner.network.trainable_variables)
    adapted = learner.task_weights(problem.support_x, problem.support_y)
    for task in range(3):
        slopes = gradients_of(weights, problem.task(task).support)
        directions = [
            kernel_in @ slopes[0] @ kernel_out.T,
            np.einsum("ij,j", bias, slopes[1]),
            head_in @ slopes[2] @ head_out.T,
            np.einsum("ij,j", head_bias, slopes[3]),
        ]
        for found, weight, direction in zip(adapted, weights, directions, strict=True):
            np.testing.assert_allclose(found[task], weight - 0.3 * direction, atol=1e-12)


def test_a_kernel_of_a_convolution_has_modes_of_positions_inputs_and_outputs():
    images = keras.Input((4, 4, 2), dtype="float64")
    x = keras.layers.Conv2D(3, (2, 3), dtype="float64", name="conv")(images)
    x = keras.layers.GlobalAveragePooling2D(dtype="float64")(x)
    network = keras.Model(images, keras.layers.Dense(1, dtype="float64", name="head")(x))
    learner = compiled(tfmeta.MetaCurvature(network, inner_rate=1.0, adapted="conv/kernel"))
    matrices = learner.variables_of("curvature")
    assert [tuple(m.shape) for m in matrices] == [(6, 6), (2, 2), (3, 3)]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 5, 4, 4, 2)), rng.normal(size=(1, 5, 1))
    kernel = network.trainable_variables[0].numpy()
    slope = kernel - learner.task_weights(x, y)[0][0]
    for matrix in matrices:
        matrix.assign(rng.normal(size=matrix.shape))
    positions, inputs, outputs = (m.numpy() for m in matrices)
    expected = np.einsum(
        "pq,io,kl,qol->pik", positions, inputs, outputs, np.reshape(slope, (6, 2, 3))
    )
    found = kernel - learner.task_weights(x, y)[0][0]
    np.testing.assert_allclose(np.reshape(found, (6, 2, 3)), expected, atol=1e-12)
