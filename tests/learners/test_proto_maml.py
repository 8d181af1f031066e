"""Proto-MAML: the head begins at prototypes, and gradient steps follow on all weights."""

import numpy as np
import tensorflow as tf

import tfmeta
from tests.learners.conftest import classifier, classifier_network, embed, forward, values


def prototypes(network, inputs, labels, classes):
    features = embed(network, inputs)
    return np.stack([features[labels == k].mean(axis=0) for k in classes], axis=1)


def cross_entropy(weights, inputs, labels):
    logits = forward(weights, tf.constant(inputs))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def test_at_0_steps_the_head_is_twice_the_prototypes_and_minus_their_squares(labelled):
    learner = classifier(tfmeta.ProtoMAML(classifier_network()))
    adapted = learner.task_weights(labelled.support_x, labelled.support_y, inner_steps=0)
    for task in range(3):
        x, y = labelled.support_x[task], labelled.support_y[task]
        means = prototypes(learner.network, x, y, range(3))
        np.testing.assert_allclose(adapted[2][task], 2 * means, atol=1e-12)
        np.testing.assert_allclose(adapted[3][task], -(means**2).sum(axis=0), atol=1e-12)


def test_a_step_moves_the_body_and_the_head_from_there(labelled):
    learner = classifier(tfmeta.ProtoMAML(classifier_network(), inner_rate=0.2))
    adapted = learner.task_weights(labelled.support_x, labelled.support_y)
    x, y = labelled.support_x[1], labelled.support_y[1]
    means = prototypes(learner.network, x, y, range(3))
    start = [*values(learner.network.trainable_variables)[:2], 2 * means, -(means**2).sum(axis=0)]
    start = [tf.convert_to_tensor(weight) for weight in start]
    with tf.GradientTape() as tape:
        tape.watch(start)
        loss = cross_entropy(start, x, y)
    for found, weight, slope in zip(adapted, start, tape.gradient(loss, start), strict=True):
        np.testing.assert_allclose(found[1], weight - 0.2 * slope, atol=1e-12)


def test_a_class_without_examples_is_never_the_answer(labelled):
    learner = classifier(tfmeta.ProtoMAML(classifier_network(outputs=5), inner_rate=0.2))
    logits = learner.predict(labelled.batch[0], verbose=0)
    assert np.all(logits[..., :3].max(axis=-1) > logits[..., 3:].max(axis=-1) + 100)
    x, y = labelled.support_x[:1], labelled.support_y[:1]
    head = learner.task_weights(x, y, inner_steps=0)[2][0]
    means = prototypes(learner.network, x[0], y[0], range(3))
    np.testing.assert_allclose(head[:, :3], 2 * means, atol=1e-12)


def test_the_networks_own_head_has_no_meta_gradient(labelled):
    learner = classifier(tfmeta.ProtoMAML(classifier_network(), inner_rate=0.2))
    gradient, _ = learner.meta_gradient(*labelled.batch)
    assert [bool(np.any(g)) for g in gradient] == [True, True, False, False]
