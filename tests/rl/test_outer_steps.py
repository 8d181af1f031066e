"""TRPO's step beside dense linear algebra and its own constraints."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.marks import marked
from tests.rl.test_meta_gradient import objective_of
from tfmeta import inner, rl


def flat(tensors):
    return np.concatenate([np.ravel(tensor) for tensor in tensors])


def unflat(vector, like):
    sizes = np.cumsum([int(tf.size(tensor)) for tensor in like])[:-1]
    parts = np.split(vector, sizes)
    return [tf.constant(p.reshape(t.shape)) for p, t in zip(parts, like, strict=True)]


@pytest.fixture
def problem(fixed_problem):
    return fixed_problem()


@pytest.fixture
def objective(problem):
    return objective_of(problem)


def dense_curvature(objective, weights):
    """The Hessian of the mean divergence, column by column."""
    size = len(flat(weights))
    product = tf.function(lambda vector: objective.kl_product(weights, vector), autograph=False)
    return np.stack([flat(product(unflat(column, weights))) for column in np.eye(size)])


@pytest.mark.slow  # the full step below is one of them
def test_conjugate_gradients_solve_the_dense_system(problem, objective):
    matrix = dense_curvature(objective, problem.weights)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10
    damping = 1e-2
    gradient = objective.gradient(problem.weights)
    expected = np.linalg.solve(matrix + damping * np.eye(len(matrix)), flat(gradient))

    def operator(vector):
        product = objective.kl_product(problem.weights, vector)
        return [p + damping * v for p, v in zip(product, vector, strict=True)]

    solve = tf.function(
        lambda right: inner.conjugate_gradient(operator, right, 60), autograph=False
    )
    np.testing.assert_allclose(flat(solve(gradient)), expected, rtol=1e-6, atol=1e-8)


def test_the_full_step_is_the_natural_gradient_at_the_edge_of_the_quadratic_region(problem):
    objective = objective_of(problem, tasks=1)  # the mean over tasks is the objective's matter
    outer = rl.TRPO(max_kl=1e-6, cg_steps=60, damping=1e-2)
    step, logs = tf.function(lambda: outer.descent(objective, problem.weights), autograph=False)()
    matrix = dense_curvature(objective, problem.weights) + 1e-2 * np.eye(len(flat(step)))
    natural = np.linalg.solve(matrix, flat(objective.gradient(problem.weights)))
    longest = natural * np.sqrt(2e-6 / (natural @ matrix @ natural))
    np.testing.assert_allclose(flat(step), longest, rtol=1e-5, atol=1e-12)
    assert int(logs["trials"]) == 1


@pytest.mark.parametrize("max_kl", marked([0.01, 1.0], [], [1.0]))
def test_a_step_improves_the_surrogate_within_the_trust_region(problem, objective, max_kl):
    outer = rl.TRPO(max_kl=max_kl)
    step, logs = tf.function(lambda: outer.descent(objective, problem.weights), autograph=False)()
    before, _ = objective.value(problem.weights)
    after, kl = objective.value([w - s for w, s in zip(problem.weights, step, strict=True)])
    assert float(after) < float(before)
    assert 0 < float(kl) <= max_kl
    np.testing.assert_allclose([logs["surrogate"], logs["kl"]], [after, kl], rtol=1e-12)


class Unimprovable:
    """A gradient that promises what the value does not keep."""

    def value(self, weights):
        return tf.constant(0.0), tf.constant(0.0)

    def gradient(self, weights):
        return [tf.ones_like(weight) for weight in weights]

    def kl_product(self, weights, vector):
        return vector


def test_a_step_that_does_not_improve_is_not_taken():
    step, logs = rl.TRPO(trials=4).descent(Unimprovable(), [tf.constant([1.0, 2.0])])
    np.testing.assert_array_equal(step[0], [0, 0])
    assert int(logs["trials"]) == 4
    assert float(logs["kl"]) == 0


class Steep(Unimprovable):
    """Every step improves the value; its divergence is 0.02 at the whole length."""

    def value(self, weights):
        (weight,) = weights
        moved = 1.0 - weight[0]
        return -moved, 0.02 * tf.square(moved / FULL)

    def gradient(self, weights):
        return [tf.constant([1.0])]


FULL = 0.02**0.5  # of max_kl = 0.01 where the curvature is 1


def test_a_step_that_improves_is_shortened_until_it_is_within_the_trust_region():
    step, logs = rl.TRPO(max_kl=0.01, damping=0.0).descent(Steep(), [tf.constant([1.0])])
    # 0.02 * 0.8 ** (2 k) is first at most 0.01 for k = 2.
    assert int(logs["trials"]) == 3
    np.testing.assert_allclose(step[0], [FULL * 0.8**2], rtol=1e-6)
    np.testing.assert_allclose(logs["kl"], 0.02 * 0.8**4, rtol=1e-6)


def test_the_plain_outer_loop_descends_the_gradient(problem, objective):
    descent, logs = rl.PolicyGradient().descent(objective, problem.weights)
    np.testing.assert_array_equal(flat(descent), flat(objective.gradient(problem.weights)))
    assert float(logs["surrogate"]) == float(objective.value(problem.weights)[0])


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(1.0),
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(1.0, momentum=0.9),
        keras.optimizers.SGD(1.0, clipnorm=1.0),
    ],
    ids=["adam", "rate", "momentum", "clipping"],
)
def test_trpo_refuses_an_optimizer_that_would_change_its_step(optimizer):
    with pytest.raises(ValueError, match=r"SGD\(1.0\)"):
        rl.TRPO().check_optimizer(optimizer)
