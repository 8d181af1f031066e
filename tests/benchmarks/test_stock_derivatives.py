"""The error that tfmeta is free of is there to be seen in plain Keras."""

import dataclasses

import numpy as np
import pytest

from benchmarks import stock_derivatives
from tests.references import problems

# Less than any network of the script is off by, far more than rounding.
SEEN = 0.05


@pytest.fixture(scope="module")
def plain_gradient():
    problem = dataclasses.replace(problems.PROBLEMS["omniglot"], filters=8, tasks=1)
    task = [array[0] for array in problem.batch()]
    network = stock_derivatives.make_network(problem)
    gradient = stock_derivatives.plain_keras(network, problem.inner_rate, 1, task)
    return dict(zip(problem.weights(), (np.asarray(value) for value in gradient), strict=True))


def test_plain_keras_gives_biases_before_batch_normalisation_a_gradient(plain_gradient):
    # Batch normalisation takes the mean away, and a bias with it: the true gradient is 0.
    assert np.max(np.abs(plain_gradient["conv_1/bias"])) > 1e-3


def test_the_comparison_sees_the_error_of_plain_keras():
    problem = dataclasses.replace(problems.PROBLEMS["omniglot"], filters=8, tasks=1)

    row = stock_derivatives.compare(problem, inner_steps=1)

    assert row["plain_keras"] > SEEN
    assert row["tfmeta_conv_biases"] < 1e-12
