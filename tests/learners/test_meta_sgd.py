"""Meta-SGD: the gradient of the rates, and where the rates start."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, squared_error, values
from tfmeta import inner

KINDS = ("kernel", "bias")


def test_rates_start_in_the_papers_range_and_differ(problem):
    learner = tfmeta.MetaSGD(problem.network())
    rates = np.concatenate([np.ravel(rate) for rate in learner.rate_variables])
    assert rates.min() >= 0.005
    assert rates.max() <= 0.1
    assert len(np.unique(rates)) == len(rates)


def test_rates_start_alike_whatever_was_named_before():
    def network():
        body = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        return keras.Sequential([keras.Input((2,)), body, keras.layers.Dense(1, name="head_7")])

    learners = [tfmeta.MetaSGD(network()) for _ in range(2)]
    paths = [learner.adapted_paths for learner in learners]
    assert paths[0][-1] == paths[1][-1] == "head_7/bias"
    assert paths[0] != paths[1]
    for one, other in zip(*(learner.rate_variables for learner in learners), strict=True):
        np.testing.assert_array_equal(one, other)
    # As Keras names them in a new process; other names stay as they are.
    dense = [f"sequential/{layer}/{kind}" for layer in ("dense", "dense_1") for kind in KINDS]
    counted = inner.counted_paths(learners[1].network)
    assert list(counted.values()) == [*dense, "head_7/kernel", "head_7/bias"]


def test_gradients_of_weights_and_rates_are_those_of_a_few_line_reference(problem):
    learner = compiled(tfmeta.MetaSGD(problem.network()))
    weights = values(learner.network.trainable_variables)
    rates = values(learner.rate_variables)
    expected = []
    for i in range(3):
        task = problem.task(i)
        with tf.GradientTape() as tape:
            tape.watch([weights, rates])
            with tf.GradientTape() as inner:
                inner.watch(weights)
                loss = squared_error(weights, task.support)
            gradients = inner.gradient(loss, weights)
            moved = [w - r * g for w, r, g in zip(weights, rates, gradients, strict=True)]
            loss = squared_error(moved, task.query)
        expected.append([g.numpy() for g in tape.gradient(loss, [*weights, *rates])])
    means = [np.mean(parts, axis=0) for parts in zip(*expected, strict=True)]
    assert relative_error(learner.meta_gradient(*problem.batch)[0], means) < 1e-12


def test_rates_are_trained_with_the_weights(problem):
    learner = compiled(tfmeta.MetaSGD(problem.network()))
    before = [rate.numpy() for rate in values(learner.rate_variables)]
    learner.train_on_batch(*problem.batch)
    after = values(learner.rate_variables)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True))


def test_a_fixed_inner_rate_is_refused(problem):
    with pytest.raises(ValueError, match=r"learns its inner rates.*inner_rate=0\.1.*rate_range"):
        tfmeta.MetaSGD(problem.network(), inner_rate=0.1)
