"""What cannot leave out an example of weight 0 is refused by the name of the layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tfmeta
from tests.conformance import registry
from tests.keras_contract.networks import around
from tests.keras_contract.test_batch_dependence import DEPENDENT, INDEPENDENT, centred, made
from tests.marks import marked
from tfmeta.inner.batch_dependence import absent_examples_matter, absent_examples_move


class Counts(layers.Layer):
    """Keeps a mean of what it has seen, and answers without it."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=0))
        return x * 1.0


def compiled(layer, **options):
    learner = tfmeta.MAML(
        around(layer), inner_rate=0.1, first_order=True, parallel="sequential", **options
    )
    learner.compile(keras.optimizers.SGD(0.1), "mse")
    return learner


def tasks_with_absent():
    """A batch, weights of queries and of support examples with one 0 each."""
    batch = registry.batch(tasks=2)
    query_weights, support_weights = np.ones((2, 5), "float32"), np.ones((2, 6), "float32")
    query_weights[1, 3] = support_weights[0, 2] = 0
    return batch, query_weights, support_weights


@pytest.mark.parametrize("name", marked(DEPENDENT, ["softmax", "count"]))
def test_functions_of_the_whole_batch_are_told_from_moments(name):
    pure = tfmeta.inner.PureNetwork(around(DEPENDENT[name]()))
    assert absent_examples_matter(pure, training=True)


@pytest.mark.parametrize("name", marked([*INDEPENDENT, "batch norm"], ["batch norm"]))
def test_moments_and_functions_of_one_example_leave_it_out(name):
    layer = INDEPENDENT.get(name, made(layers.BatchNormalization))()
    pure = tfmeta.inner.PureNetwork(around(layer))
    assert not absent_examples_matter(pure, training=True)
    assert not absent_examples_move(pure)


def test_a_weight_of_0_is_refused_by_the_layer_that_would_count_it():
    (x, y), query_weights, support_weights = tasks_with_absent()
    learner = compiled(layers.Softmax(axis=0, dtype="float64", name="shares"))
    for call in (
        lambda: learner.fit(x, y, sample_weight=query_weights, verbose=0),
        lambda: learner.meta_gradient(x, y, query_weights),
        lambda: learner.evaluate(x, y, sample_weight=query_weights, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"shares \(Softmax\) .*0 in sample_weight"):
            call()
    with pytest.raises(ValueError, match=r"shares \(Softmax\) .*0 in support_weights"):
        learner.task_weights(*x[:2], support_weights=support_weights)
    # Weights above 0 leave nobody out: sum(w l) / sum(w) of the answers.
    weights = query_weights + np.float32([[1, 2, 3, 4, 5]])
    found = learner.evaluate(x, y, sample_weight=weights, verbose=0)
    each = np.mean((learner(tuple(map(tf.constant, x))).numpy() - y) ** 2, axis=-1)
    by_hand = np.mean(np.sum(weights * each, axis=1) / np.sum(weights, axis=1))
    assert found == pytest.approx(by_hand, rel=1e-6)


def test_a_weight_of_0_is_refused_where_an_activity_regulariser_would_count_it():
    (x, y), query_weights, support_weights = tasks_with_absent()
    plain = tfmeta.inner.PureNetwork(around(layers.Dense(4, dtype="float64")))
    assert not plain.absent_examples_cost(training=True)
    learner = compiled(layers.Dense(4, dtype="float64", activity_regularizer="l2"))
    learner.compile("sgd", "mse", run_eagerly=True)
    for batch in ((x, y, query_weights), ((*x, support_weights), y)):
        with pytest.raises(ValueError, match=r"regulariser of dense.* \(Dense\) counts it"):
            learner.test_on_batch(*batch)


@pytest.mark.slow
def test_a_query_of_weight_0_is_fine_where_each_query_is_answered_alone():
    (x, y), query_weights, support_weights = tasks_with_absent()
    learner = compiled(layers.Activation(centred, dtype="float64"), normalization="inductive")
    found = learner.evaluate(x, y, sample_weight=query_weights, verbose=0)
    each = np.mean((learner(tuple(map(tf.constant, x))).numpy() - y) ** 2, axis=-1)
    by_hand = np.mean(np.sum(query_weights * each, axis=1) / np.sum(query_weights, axis=1))
    assert found == pytest.approx(by_hand, rel=1e-6)
    with pytest.raises(ValueError, match=r"activation.* \(Activation\) .*0 in support_weights"):
        learner.evaluate((*x, support_weights), y, verbose=0)


def test_state_that_would_count_an_absent_query_is_refused_in_training():
    (x, y), query_weights, _ = tasks_with_absent()
    learner = compiled(Counts(dtype="float64", name="seen"))
    with pytest.raises(ValueError, match=r"state seen/.* counts it.*0 in sample_weight"):
        learner.train_on_batch(x, y, query_weights)
    learner.evaluate(x, y, sample_weight=query_weights, verbose=0)


@pytest.mark.slow
def test_xla_refuses_it_too():
    (x, y), query_weights, _ = tasks_with_absent()
    learner = tfmeta.MAML(around(DEPENDENT["softmax"]()), inner_rate=0.1)
    learner.compile("sgd", "mse", jit_compile=True)
    stream = tf.data.Dataset.from_tensors((x, y, query_weights))
    for call in (
        lambda: learner.fit(stream, verbose=0),
        lambda: learner.meta_gradient(x, y, query_weights),
    ):
        with pytest.raises(ValueError, match="0 in sample_weight"):
            call()


def test_xla_refuses_state_that_would_count_an_absent_query():
    (x, y), query_weights, _ = tasks_with_absent()
    learner = tfmeta.MAML(around(Counts(dtype="float64", name="seen")), inner_rate=0.1)
    learner.compile("sgd", "mse", jit_compile=True)
    for call in (
        lambda: learner.fit(x, y, sample_weight=query_weights, verbose=0),
        lambda: learner.train_on_batch(x, y, query_weights),
        lambda: learner.meta_gradient(x, y, query_weights),
    ):
        with pytest.raises(ValueError, match=r"state seen/.* counts it.*0 in sample_weight"):
            call()
    assert not np.any(learner.network.get_layer("seen").mean)
