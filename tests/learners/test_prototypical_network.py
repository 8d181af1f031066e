"""Prototypical networks against the distances of the paper, written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import (
    classifier,
    classifier_network,
    embed,
    relative_error,
    softmax,
    values,
)


def probabilities_of_distances(network, problem, task, classes=3):
    """softmax(-||f(x) - c_k||^2), Snell et al. 2017, equations 1 and 2."""
    support, labels = embed(network, problem.support_x[task]), problem.support_y[task]
    prototypes = np.stack([support[labels == k].mean(axis=0) for k in range(classes)])
    query = embed(network, problem.query_x[task])
    return softmax(-((query[:, None] - prototypes) ** 2).sum(axis=-1))


def test_the_adapted_head_says_what_the_softmax_of_squared_distances_says(labelled):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    outputs = learner(labelled.batch[0]).numpy()
    for task in range(3):
        expected = probabilities_of_distances(learner.network, labelled, task)
        np.testing.assert_allclose(softmax(outputs[task]), expected, rtol=1e-12)


def test_the_meta_gradient_is_that_of_the_distances(labelled):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    weights = values(learner.network.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        losses = []
        for index in range(3):
            task = labelled.task(index)
            support, query = (tf.tanh(s.inputs @ weights[0] + weights[1]) for s in task)
            prototypes = tf.stack(
                [tf.reduce_mean(support[labelled.support_y[index] == k], axis=0) for k in range(3)]
            )
            distances = tf.reduce_sum((query[:, None] - prototypes) ** 2, axis=-1)
            log_p = tf.nn.log_softmax(-distances)
            losses.append(-tf.reduce_mean(tf.gather(log_p, task.query.targets, batch_dims=1)))
        loss = tf.reduce_mean(losses)
    expected = tape.gradient(loss, weights[:2])
    found, _ = learner.meta_gradient(*labelled.batch)
    assert relative_error(found[:2], expected) < 1e-12
    assert all(np.all(head == 0) for head in found[2:])


def test_one_step_does_it_all_and_none_leaves_the_network_as_it_is(labelled):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    outputs, losses = learner.adaptation_curve(labelled.batch[0], inner_steps=3)
    start = learner.network(labelled.query_x[0])
    np.testing.assert_allclose(outputs[0, 0], start, rtol=1e-12)
    np.testing.assert_array_equal(outputs[:, 1], outputs[:, 3])
    np.testing.assert_array_equal(losses[:, 1], losses[:, 3])
    assert np.abs(outputs[:, 1] - outputs[:, 0]).max() > 0.1


def test_a_class_without_examples_is_never_the_answer_and_others_do_not_notice(labelled):
    wide = classifier(tfmeta.PrototypicalNetwork(classifier_network(outputs=7)))
    outputs = wide(labelled.batch[0]).numpy()
    for task in range(3):
        expected = probabilities_of_distances(wide.network, labelled, task)
        np.testing.assert_allclose(softmax(outputs[task])[:, :3], expected, rtol=1e-12)
        assert np.all(softmax(outputs[task])[:, 3:] == 0)
    gradients, _ = wide.meta_gradient(*labelled.batch)
    assert all(np.all(np.isfinite(value)) for value in gradients)


def test_examples_of_weight_0_leave_the_prototypes(labelled):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    (support_x, support_y, query_x), _ = labelled.batch
    padded_x = np.concatenate([support_x, 9 * np.ones([3, 2, 2])], axis=1)
    padded_y = np.concatenate([support_y, np.zeros([3, 2], np.int32)], axis=1)
    weights = np.concatenate([np.ones([3, 6]), np.zeros([3, 2])], axis=1)
    expected = learner((support_x, support_y, query_x))
    found = learner((padded_x, padded_y, query_x, weights))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_hot_targets_say_the_same_as_labels(labelled):
    (support_x, support_y, query_x), query_y = labelled.batch
    sparse = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    one_hot = classifier(tfmeta.PrototypicalNetwork(classifier_network()), sparse=False)
    expected, _ = sparse.meta_gradient((support_x, support_y, query_x), query_y)
    named = np.eye(3)[support_y], np.eye(3)[query_y]
    found, _ = one_hot.meta_gradient((support_x, named[0], query_x), named[1])
    assert relative_error(found, expected) < 1e-12


def test_training_embeds_both_sets_as_one_batch_and_keeps_the_averages(labelled):
    network = keras.Sequential(
        [
            keras.Input((2,), dtype="float64"),
            keras.layers.BatchNormalization(momentum=0.0, dtype="float64", name="norm"),
            keras.layers.Dense(3, dtype="float64", name="head"),
        ]
    )
    learner = classifier(tfmeta.PrototypicalNetwork(network))
    learner.train_on_batch(*labelled.batch)
    together = np.concatenate([labelled.support_x, labelled.query_x], axis=1)
    means = together.mean(axis=1).mean(axis=0)
    np.testing.assert_allclose(network.get_layer("norm").moving_mean, means, rtol=1e-12)


def test_an_adapted_model_holds_the_prototypes_as_its_head(labelled):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network()))
    adapted = learner.adapt(labelled.support_x[1], labelled.support_y[1])
    expected = probabilities_of_distances(learner.network, labelled, 1)
    answers = adapted(labelled.query_x[1]).numpy()
    np.testing.assert_allclose(softmax(answers), expected, rtol=1e-12)


def test_it_is_saved_and_loaded_with_its_options(labelled, tmp_path):
    learner = classifier(tfmeta.PrototypicalNetwork(classifier_network(), seed=5))
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    assert (loaded.seed, loaded.normalization) == (5, "running")
    expected = learner(labelled.batch[0]).numpy()
    np.testing.assert_array_equal(loaded(labelled.batch[0]), expected)


def test_wrong_use_is_said_in_words(problem):
    with pytest.raises(ValueError, match=r"without gradient steps. Received: inner_rate"):
        tfmeta.PrototypicalNetwork(classifier_network(), inner_rate=0.1)
    with pytest.raises(ValueError, match=r"tells classes apart, by logits. Received: loss 'mean"):
        tfmeta.PrototypicalNetwork(classifier_network()).compile("sgd", "mse")
    inputs = keras.Input((2,))
    soft = keras.Model(inputs, keras.layers.Dense(3, "softmax", name="answer")(inputs))
    with pytest.raises(ValueError, match=r"must end in a dense layer.*last layer is 'answer'"):
        tfmeta.PrototypicalNetwork(soft)
