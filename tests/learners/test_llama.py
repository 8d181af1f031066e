"""LLAMA against the exact posterior of a linear model, and MAML where it is MAML."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, values
from tfmeta.tasks.task import Examples

KEY = tf.constant([0, 0])
NOISE, TAU = 0.5, 2.0


def linear(curvature, outputs=1):
    network = keras.Sequential(
        [keras.Input((2,), dtype="float64"), keras.layers.Dense(outputs, dtype="float64")]
    )
    learner = tfmeta.LLAMA(
        network, 0.1, curvature=curvature, noise=NOISE, prior_precision=TAU, samples=5
    )
    return compiled(learner)


def exact_precision(support):
    """Of the weights (kernel, bias) of a linear model with one output."""
    design = np.concatenate([support.inputs, np.ones([len(support.inputs), 1])], axis=1)
    return design, TAU * np.eye(3) + design.T @ design / NOISE**2


def test_the_laplace_term_of_a_linear_model_is_that_of_its_hessian(problem):
    learner, support = linear("full"), problem.task(0).support
    support = Examples(support.inputs, support.targets[:, :1])
    mode = learner.initial_weights(values(learner.parameter_variables))
    _, exact = exact_precision(support)
    found = learner.precision(mode, support, []).log_determinant()
    np.testing.assert_allclose(found, np.linalg.slogdet(exact)[1], rtol=1e-12)
    # Kronecker's blocks leave out what kernel and bias have in common, and nothing else.
    blocks = linear("kronecker").precision(mode, support, []).log_determinant()
    expected = np.linalg.slogdet(exact[:2, :2])[1] + np.log(exact[2, 2])
    np.testing.assert_allclose(blocks, expected, rtol=1e-12)


def test_samples_of_a_linear_model_spread_as_its_exact_posterior(problem):
    learner, support = linear("full"), problem.task(0).support
    targets = support.targets[:, :1]
    design, exact = exact_precision(support)
    weights = learner.task_samples(support.inputs[None], targets[None], 20_000)
    drawn = np.concatenate([tf.reshape(w[0], [20_000, -1]) for w in weights], axis=1)
    np.testing.assert_allclose(np.cov(drawn.T), np.linalg.inv(exact), atol=0.02)
    query = (support.inputs[None], targets[None], support.inputs[None])
    spread = learner.predictive(query, 20_000).std[0, :, 0]
    expected = np.sqrt(np.einsum("ni,ij,nj->n", design, np.linalg.inv(exact), design))
    np.testing.assert_allclose(spread, expected, rtol=0.03)


@pytest.mark.usefixtures("without_traces")
def test_without_the_determinant_it_is_maml(problem):
    network = problem.network()
    llama = tfmeta.LLAMA(network, 0.1, 2, determinant_weight=0.0, noise=0.5**0.5)
    found, _ = compiled(llama).meta_gradient(*problem.batch)
    expected, _ = compiled(tfmeta.MAML(network, 0.1, 2)).meta_gradient(*problem.batch)
    assert relative_error([g / 2 for g in found], expected) < 1e-12


def test_samples_lie_around_mamls_adapted_weights(problem):
    network = problem.network()
    narrow = compiled(tfmeta.LLAMA(network, 0.1, 2, prior_precision=1e12))
    expected = compiled(tfmeta.MAML(network, 0.1, 2)).task_weights(
        problem.support_x, problem.support_y
    )
    found = narrow.task_samples(problem.support_x, problem.support_y, 3)
    assert relative_error([w[:, 1] for w in found], expected) < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curvature": "exact"}, r"curvature must be one of 'kronecker', 'full'"),
        ({"prior_precision": 0.0}, r"prior_precision must be above 0. Received: 0.0"),
        ({"determinant_weight": -1.0}, r"determinant_weight must be 0 or more. Received: -1.0"),
    ],
)
def test_wrong_options_say_what_is_wrong(problem, options, message):
    with pytest.raises(ValueError, match=message):
        tfmeta.LLAMA(problem.network(), **options)
