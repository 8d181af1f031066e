"""Nearest neighbour against a search in numpy."""

import numpy as np

import tfmeta
from tests.learners.conftest import classifier, classifier_network, embed


def neighbours(network, problem, task):
    """The class of the support example of the largest cosine."""
    answers = []
    support = embed(network, problem.support_x[task])
    for query in embed(network, problem.query_x[task]):
        cosine = [
            query @ example / np.linalg.norm(query) / np.linalg.norm(example) for example in support
        ]
        answers.append(problem.support_y[task][np.argmax(cosine)])
    return np.array(answers)


def test_a_query_has_the_class_of_its_nearest_support_example(labelled):
    learner = classifier(tfmeta.NearestNeighbor(classifier_network(outputs=5), classes=9))
    outputs = learner(labelled.batch[0]).numpy()
    for task in range(3):
        expected = neighbours(learner.network, labelled, task)
        np.testing.assert_array_equal(outputs[task].argmax(axis=-1), expected)


def test_examples_of_weight_0_are_nobodys_neighbours(labelled):
    learner = classifier(tfmeta.NearestNeighbor(classifier_network(), classes=9))
    (support_x, support_y, query_x), _ = labelled.batch
    padded_x = np.concatenate([support_x, query_x], axis=1)
    padded_y = np.concatenate([support_y, np.zeros([3, 5], np.int32)], axis=1)
    weights = np.concatenate([np.ones([3, 6]), np.zeros([3, 5])], axis=1)
    expected = learner((support_x, support_y, query_x))
    found = learner((padded_x, padded_y, query_x, weights))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_it_is_trained_as_the_network_that_is_fine_tuned(labelled):
    batch = labelled.batch[0], labelled.query_y + 4  # labels of the split: above the network's 3
    found = [
        classifier(kind(classifier_network(), classes=9)).meta_gradient(*batch)[0]
        for kind in (tfmeta.NearestNeighbor, tfmeta.FineTuning)
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
