"""UNICORN-MAML: every class begins at one vector, so the order of classes does not matter."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import classifier, classifier_network, descend, forward, values

VECTOR, BIAS = np.array([0.3, -0.2, 0.5, 0.1]), 0.7


@pytest.fixture(scope="module")
def learner():
    made = classifier(tfmeta.UnicornMAML(classifier_network(), inner_rate=0.2, inner_steps=2))
    for variable, value in zip(made.variables_of("head_vector"), (VECTOR, BIAS), strict=True):
        variable.assign(value)
    return made


def cross_entropy(weights, examples):
    logits = forward(weights, examples.inputs)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(examples.targets, logits)
    return tf.reduce_mean(losses)


def by_hand(learner, task):
    """Two steps from the body of the network and three columns of one vector."""
    head = [np.repeat(VECTOR[:, np.newaxis], 3, axis=1), np.repeat(BIAS, 3)]
    body = values(learner.network.trainable_variables)[:2]
    start = [tf.convert_to_tensor(weight) for weight in (*body, *head)]
    return descend(start, task.support, 0.2, 2, cross_entropy)


def test_steps_begin_at_the_vector_for_every_class(labelled, learner):
    adapted = learner.task_weights(labelled.support_x, labelled.support_y)
    for task in range(3):
        for found, expected in zip(adapted, by_hand(learner, labelled.task(task)), strict=True):
            np.testing.assert_allclose(found[task], expected, atol=1e-12)


def test_permuting_the_labels_permutes_the_answers(labelled, learner):
    order = np.array([2, 0, 1])
    (support_x, support_y, query_x), _ = labelled.batch
    before = learner.predict((support_x, support_y, query_x), verbose=0)
    after = learner.predict((support_x, order[support_y].astype("int32"), query_x), verbose=0)
    np.testing.assert_allclose(after[..., order], before, atol=1e-12)
    # Of MAML, whose columns begin apart, this is not true.
    maml = classifier(tfmeta.MAML(classifier_network(), inner_rate=0.2, inner_steps=2))
    first = maml.predict((support_x, support_y, query_x), verbose=0)
    second = maml.predict((support_x, order[support_y].astype("int32"), query_x), verbose=0)
    assert np.abs(second[..., order] - first).max() > 0.1


def test_the_vector_learns_and_the_networks_own_head_does_not(labelled, learner):
    gradient, _ = learner.meta_gradient(*labelled.batch)
    assert [bool(np.any(g)) for g in gradient[:4]] == [True, True, False, False]
    assert all(np.any(g) for g in gradient[4:])
