"""Under TF Serving's batching one signature keeps its meaning, and the others lose it."""

import numpy as np
import pytest
from batching import BatchingError, run_batch
from example_servables import classification_request

from tfmeta.serve.errors import ServingError
from tfmeta.serve.models.served_version import ServedVersion


@pytest.fixture(scope="module")
def model(classifier):
    loaded = ServedVersion(classifier)
    yield loaded
    loaded.close()


def tasks(seeds, **sizes):
    """A request of several tasks."""
    each = [classification_request(seed=seed, **sizes) for seed in seeds]
    return {name: np.stack([request[name] for request in each]) for name in each[0]}


def runner(model, signature):
    return lambda inputs: model.run(signature, inputs)


@pytest.mark.parametrize("allowed_batch_size", [None, 8])
def test_requests_of_tasks_are_answered_in_a_batch_as_alone(model, allowed_batch_size):
    run = runner(model, "adapt_and_predict_tasks")
    requests = [tasks([0, 1]), tasks([2]), tasks([3, 4, 5])]
    answers = run_batch(run, requests, allowed_batch_size)
    for request, answer in zip(requests, answers, strict=True):
        alone = run(request)
        assert set(answer) == set(alone)
        for name, value in alone.items():
            np.testing.assert_array_equal(answer[name], value, err_msg=name)
        assert answer["status"].tolist() == [0] * len(answer["status"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request["support_targets"].__setitem__((0, 1), 9),
        lambda request: request["support_inputs"].__setitem__((0, 0), np.nan),
        lambda request: request["query_inputs"].__setitem__((0, 0), np.inf),
    ],
    ids=["label", "support", "query"],
)
def test_a_bad_task_fails_alone(model, spoil):
    run = runner(model, "adapt_and_predict_tasks")
    good, bad = tasks([0, 1]), tasks([2, 3])
    spoil(bad)
    first, second = run_batch(run, [good, bad])
    alone = run(good)
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], value, err_msg=name)
    assert second["status"][0] != 0
    assert not second["predictions"][0].any()
    assert second["status"][1] == 0
    np.testing.assert_array_equal(second["logits"][1], run(tasks([3]))["logits"][0])


def test_tasks_of_different_sizes_are_not_batched_together(model):
    requests = [tasks([0], support=6), tasks([1], support=9)]
    with pytest.raises(BatchingError, match="different shapes"):
        run_batch(runner(model, "adapt_and_predict_tasks"), requests)


def test_requests_of_unequal_support_and_query_are_refused_in_a_batch(model):
    requests = [classification_request(support=6, query=4, seed=seed) for seed in (0, 1)]
    with pytest.raises(BatchingError, match="equal 0th-dimension size"):
        run_batch(runner(model, "adapt_and_predict"), requests)


def test_requests_of_equal_support_and_query_cannot_be_cut_apart(model):
    requests = [classification_request(support=6, query=6, seed=seed) for seed in (0, 1)]
    with pytest.raises(BatchingError, match="0th dimension does not equal the sum"):
        run_batch(runner(model, "adapt_and_predict"), requests)


def test_where_only_predictions_are_fetched_clients_are_mixed_in_silence(model):
    def run(inputs):
        return model.run("adapt_and_predict", inputs, ["logits"])

    requests = [classification_request(support=6, query=6, seed=seed) for seed in (0, 1)]
    answers = run_batch(run, requests)
    for request, answer in zip(requests, answers, strict=True):
        assert np.abs(answer["logits"] - run(request)["logits"]).max() > 0.01


def test_scalars_are_refused_in_a_batch(model):
    request = {
        **classification_request(),
        "inner_steps": np.int32(1),
        "inner_rate_scale": np.float32(1),
    }
    with pytest.raises(BatchingError, match="at least one dimension"):
        run_batch(runner(model, "adapt_and_predict_with"), [request] * 2)


def test_adapted_weights_cannot_be_batched(model):
    support = {
        name: value
        for name, value in classification_request().items()
        if name.startswith("support")
    }
    with pytest.raises(BatchingError, match="Batched output tensor"):
        run_batch(runner(model, "adapt"), [support] * 2)
    adapted = model.run("adapt", support)
    request = {
        "adapted_weights": adapted["adapted_weights"],
        "weights_fingerprint": adapted["weights_fingerprint"],
        "query_inputs": classification_request()["query_inputs"],
    }
    with pytest.raises(BatchingError, match="at least one dimension"):
        run_batch(runner(model, "predict_adapted"), [request] * 2)
    request["adapted_weights"] = np.tile(request["adapted_weights"], 2)
    with pytest.raises(ServingError, match="adapted_weights must"):
        model.run("predict_adapted", request)


def test_predictions_without_adaptation_are_mixed_by_the_norms_statistics(model):
    requests = [
        {"query_inputs": classification_request(seed=seed)["query_inputs"]} for seed in (0, 1)
    ]
    answers = run_batch(runner(model, "predict"), requests)
    alone = model.run("predict", requests[0])
    assert np.abs(answers[0]["logits"] - alone["logits"]).max() > 1e-4
