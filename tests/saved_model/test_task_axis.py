"""Several tasks in one request: a bad one gets its status and spoils no other."""

import numpy as np
import pytest
from example_servables import classification_request, regression_request

from tfmeta.saved_model import STATUS_MEANINGS

NAN = np.float32("nan")


def batch(*requests):
    return {name: np.stack([request[name] for request in requests]) for name in requests[0]}


def spoil(name, value):
    request = classification_request(seed=5)
    request[name].flat[3] = value
    return request


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (spoil("support_inputs", NAN), 1),
        (spoil("support_targets", 3), 3),
        (spoil("support_targets", -1), 3),
        (spoil("query_inputs", np.float32("inf")), 4),
    ],
)
def test_a_bad_task_gets_its_code_and_zeros_and_the_others_their_answers(served, bad, status):
    model = served("classification")
    good = [classification_request(seed=seed) for seed in (0, 1)]
    answer = model("adapt_and_predict_tasks", batch(good[0], bad, good[1]))
    clean = model("adapt_and_predict_tasks", batch(good[0], good[0], good[1]))
    np.testing.assert_array_equal(answer["status"], [0, status, 0])
    for name in ("predictions", "logits", "support_loss"):
        np.testing.assert_array_equal(answer[name][1], np.zeros_like(answer[name][1]))
        np.testing.assert_array_equal(answer[name][0], clean[name][0])
        np.testing.assert_array_equal(answer[name][2], clean[name][2])


def test_of_several_faults_the_first_gives_the_code(served):
    bad = spoil("support_targets", 3)
    bad["query_inputs"].flat[0] = NAN
    answer = served("classification")(
        "adapt_and_predict_tasks", batch(classification_request(), bad)
    )
    np.testing.assert_array_equal(answer["status"], [0, 3])


def test_targets_that_are_not_finite_have_their_own_code(served):
    bad = regression_request(seed=1)
    bad["support_targets"][2] = NAN
    answer = served("regression")("adapt_and_predict_tasks", batch(regression_request(), bad))
    np.testing.assert_array_equal(answer["status"], [0, 2])


def test_a_task_whose_adaptation_diverges_has_its_own_code(served):
    bad = regression_request(seed=1)
    bad["support_inputs"] *= 1e18  # finite, and its squared gradient is not
    answer = served("regression")("adapt_and_predict_tasks", batch(regression_request(), bad))
    np.testing.assert_array_equal(answer["status"], [0, 5])
    assert np.all(answer["predictions"][1] == 0)
    assert np.all(np.isfinite(answer["support_loss"]))


def test_a_batch_answers_as_its_concatenated_parts_do(served):
    """TensorFlow Serving's batching joins requests along dimension 0 and cuts the answers."""
    model = served("classification")
    parts = [batch(classification_request(seed=seed)) for seed in range(3)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    answer = model("adapt_and_predict_tasks", joined)
    assert {len(value) for value in answer.outputs.values()} == {3}
    for row, part in enumerate(parts):
        alone = model("adapt_and_predict_tasks", part)
        for name, value in alone.outputs.items():
            np.testing.assert_allclose(answer[name][row], value[0], rtol=1e-5, atol=1e-6)


def test_every_code_has_a_meaning():
    assert sorted(STATUS_MEANINGS) == list(range(7))
