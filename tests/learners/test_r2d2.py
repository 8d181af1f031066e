"""R2-D2: the head is the ridge regression of one-hot labels on embeddings."""

import numpy as np
import pytest

import tfmeta
from tests.learners.conftest import classifier, classifier_network, embed
from tfmeta.learners.core.embedding import NEVER

LAMBDA, SCALE, SHIFT = 0.7, 1.5, 0.25


@pytest.fixture(scope="module")
def learner():
    """Of five outputs; the tasks have three classes."""
    made = classifier(tfmeta.R2D2(classifier_network(outputs=5), regularization=LAMBDA))
    log_lambda, log_scale, shift = made.variables_of("ridge")
    # Keras' constant initializer goes through float32.
    np.testing.assert_allclose(np.exp(log_lambda), LAMBDA, rtol=1e-6)
    for variable, value in zip((log_lambda, log_scale), (LAMBDA, SCALE), strict=True):
        variable.assign(np.log(value))
    shift.assign(SHIFT)
    return made


def ridge(learner, inputs, labels, weights):
    """argmin over W of the sum of weights |x W - y|^2, plus lambda |W|^2."""
    x, y = embed(learner.network, inputs), np.eye(5)[labels]
    weighted = x * weights[:, np.newaxis]
    return np.linalg.solve(weighted.T @ x + LAMBDA * np.eye(4), weighted.T @ y)


def test_the_kernel_is_numpys_solution_and_absent_classes_have_a_column_of_zeros(labelled, learner):
    adapted = learner.task_weights(labelled.support_x, labelled.support_y)
    for task in range(3):
        x, y = labelled.support_x[task], labelled.support_y[task]
        kernel = SCALE * ridge(learner, x, y, np.ones(6))
        np.testing.assert_allclose(adapted[2][task], kernel, atol=1e-10)
        np.testing.assert_array_equal(adapted[2][task][:, 3:], 0)
        np.testing.assert_allclose(adapted[3][task][:3], SHIFT)
        np.testing.assert_array_equal(adapted[3][task][3:], NEVER)


def test_support_weights_make_it_weighted_least_squares(labelled, learner):
    weights = np.random.default_rng(1).uniform(0.2, 2, size=(3, 6))
    weights[1, 2] = 0  # an absent example
    adapted = learner.task_weights(labelled.support_x, labelled.support_y, support_weights=weights)
    for task in range(3):
        x, y = labelled.support_x[task], labelled.support_y[task]
        kernel = SCALE * ridge(learner, x, y, weights[task])
        np.testing.assert_allclose(adapted[2][task], kernel, atol=1e-10)


def test_lambda_scale_and_shift_learn_and_further_steps_change_nothing(labelled, learner):
    gradient, _ = learner.meta_gradient(*labelled.batch)
    assert [bool(np.any(g)) for g in gradient[:4]] == [True, True, False, False]
    assert all(np.any(g) for g in gradient[4:6])
    once, thrice = (
        learner.task_weights(labelled.support_x, labelled.support_y, inner_steps=steps)
        for steps in (1, 3)
    )
    np.testing.assert_array_equal(once[2], thrice[2])


def test_a_regularization_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"regularization must be above 0\. Received: 0\."):
        tfmeta.R2D2(classifier_network(), regularization=0)


def test_the_scale_of_the_logits_begins_where_it_is_told():
    made = classifier(tfmeta.R2D2(classifier_network(), scale=8.0))
    np.testing.assert_allclose(made.variables_of("ridge")[1], np.log(8.0), rtol=1e-6)
    assert tfmeta.R2D2.from_config(made.get_config()).scale == 8.0
    with pytest.raises(ValueError, match=r"scale must be above 0. Received: 0"):
        tfmeta.R2D2(classifier_network(), scale=0)
