"""Matching networks against the paper's attention, in a few lines of numpy."""

import numpy as np
import pytest

import tfmeta
from tests.learners.conftest import classifier, classifier_network, embed, softmax


def attended(network, problem, task, classes=3):
    """P(y | x) = sum_i a(x, x_i) y_i, Vinyals et al. 2016, equation 1 and section 2.1.1."""
    query, support = (embed(network, x[task]) for x in (problem.query_x, problem.support_x))
    cosine = query @ support.T
    cosine /= np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(support, axis=1)
    return softmax(cosine) @ np.eye(classes)[problem.support_y[task]]


@pytest.fixture(scope="module")
def learner():
    return classifier(tfmeta.MatchingNetwork(classifier_network()))


def test_the_softmax_of_outputs_is_the_papers_attention(learner, labelled):
    outputs = learner(labelled.batch[0]).numpy()
    for task in range(3):
        expected = attended(learner.network, labelled, task)
        np.testing.assert_allclose(softmax(outputs[task]), expected, rtol=1e-12)
        np.testing.assert_allclose(np.exp(outputs[task]), expected, rtol=1e-12)


def test_the_meta_gradient_agrees_with_finite_differences(learner, labelled):
    network = learner.network
    gradients, _ = learner.meta_gradient(*labelled.batch)
    weights = [variable.numpy() for variable in network.trainable_variables]
    direction = [np.random.default_rng(5).normal(size=w.shape) for w in weights]

    def loss(step):
        for variable, weight, part in zip(
            network.trainable_variables, weights, direction, strict=True
        ):
            variable.assign(weight + step * part)
        found = []
        for task in range(3):
            right = attended(network, labelled, task)[np.arange(5), labelled.query_y[task]]
            found.append(-np.log(right).mean())
        return np.mean(found)

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    loss(0.0)
    expected = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-8)


def test_the_number_of_steps_changes_nothing(learner, labelled):
    outputs, losses = learner.adaptation_curve(labelled.batch[0], inner_steps=2)
    assert losses.shape == (3, 3)
    np.testing.assert_array_equal(outputs[:, 0], outputs[:, 2])


def test_a_class_without_examples_is_not_the_answer(labelled):
    wide = classifier(tfmeta.MatchingNetwork(classifier_network(outputs=6)))
    outputs = wide(labelled.batch[0]).numpy()
    expected = attended(wide.network, labelled, 0)
    np.testing.assert_allclose(softmax(outputs[0])[:, :3], expected, rtol=1e-12)
    assert softmax(outputs[0])[:, 3:].max() < 1e-20


def test_an_adapted_model_answers_from_the_support_set_it_holds(learner, labelled):
    adapted = learner.adapt(labelled.support_x[2], labelled.support_y[2])
    answers = adapted(labelled.query_x[2]).numpy()
    expected = attended(learner.network, labelled, 2)
    np.testing.assert_allclose(np.exp(answers), expected, rtol=1e-12)


def test_an_export_is_refused_with_what_to_do(learner, tmp_path):
    with pytest.raises(ValueError, match=r"support set itself.*PrototypicalNetwork"):
        learner.export(tmp_path)
