"""What all learners of an embedding share: one network in two parts, and normalisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.conformance import registry, zoo
from tests.learners.conftest import classifier, classifier_network, relative_error
from tfmeta.learners.core.embedding import only_present


def normalised_network():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((2,), dtype="float64")
    x = keras.layers.Dense(4, "tanh", dtype="float64", name="hidden")(inputs)
    x = keras.layers.BatchNormalization(dtype="float64", name="norm")(x)
    network = keras.Model(inputs, keras.layers.Dense(3, dtype="float64", name="head")(x))
    for index, variable in enumerate(network.variables):
        variable.assign(np.abs(np.random.default_rng(index).normal(size=variable.shape)))
    return network


@pytest.mark.parametrize(
    "name", registry.some(quick=("prototypical_network", "boil"), embedding=True)
)
def test_tasks_in_one_pass_give_what_they_give_one_after_another(name, labelled):
    found = []
    for parallel in ("vectorized", "sequential"):
        learner = classifier(registry.LEARNERS[name](normalised_network(), parallel=parallel))
        gradient, _ = learner.meta_gradient(*labelled.batch)
        outputs, _ = learner.adaptation_curve(labelled.batch[0])
        found.append([*gradient, outputs])
    assert relative_error(*found) < 1e-12


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("name", ["prototypical_network", "matching_network"])
def test_averages_and_inductive_statistics_answer_a_query_whatever_the_others_are(name, labelled):
    support, labels, query = labelled.batch[0]
    for mode in ("running", "inductive", "transductive"):
        learner = classifier(registry.LEARNERS[name](normalised_network(), normalization=mode))
        together = learner((support, labels, query))[:, 2]
        alone = learner((support, labels, query[:, 2:3]))[:, 0]
        assert np.allclose(together, alone, rtol=1e-12) == (mode != "transductive")


@pytest.mark.parametrize(
    "name", ["batch_norm_plain", "residual_block", "inverted_residual_block", "dict_input"]
)
def test_the_state_of_the_embedding_is_that_of_the_network_in_its_order(name):
    network = zoo.LAYERS[name].network()
    parts = tfmeta.PrototypicalNetwork(network).task_network.embedding
    embedding = parts.pure.network
    own, theirs = embedding.non_trainable_variables, network.non_trainable_variables
    assert [variable.path for variable in own] == [variable.path for variable in theirs]
    weights = parts.weights(network.trainable_variables)
    assert [v.path for v in weights] == [v.path for v in embedding.trainable_variables]


def test_a_head_that_is_frozen_is_refused():
    network = classifier_network()
    network.get_layer("head").trainable = False
    with pytest.raises(ValueError, match=r"must end in a dense layer"):
        tfmeta.PrototypicalNetwork(network)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_an_absent_class_has_probability_0_and_finite_gradients_in_each_type(dtype):
    bias = tf.zeros([3], dtype)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        logits = only_present(bias, tf.constant([[1, 0, 0], [0, 0, 1]], dtype))
        probabilities = tf.nn.softmax(logits)
        first = probabilities[0]
    gradient = tape.gradient(first, bias)
    np.testing.assert_array_equal(tf.cast(probabilities, tf.float32), [0.5, 0, 0.5])
    np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [0.25, 0, -0.25])
    assert np.isfinite(tf.cast(logits, tf.float32)).all()
