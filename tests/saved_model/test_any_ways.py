"""Exports with max_ways answer as the learner in process, for the classes of each request."""

import keras
import numpy as np
import pytest

from tests.conformance import registry
from tfmeta.saved_model import read_description
from tfmeta.saved_model.adapted_weights import fingerprint

MAX_WAYS = 9
LABELS = np.array([0, 4, 1, 3, 4, 0, 6, 1], np.int32)
FEWER = np.array([0, 2, 1, 1, 0, 2, 2, 0], np.int32)
PRESENT = [0, 1, 3, 4, 6]
EXPORTED = ("prototypical_network", "proto_maml", "unicorn_maml", "r2d2")
NAMES = [n if n == "proto_maml" else pytest.param(n, marks=pytest.mark.slow) for n in EXPORTED]


def request(labels=LABELS):
    rng = np.random.default_rng(0)
    support, query = (rng.normal(size=(size, 2)).astype(np.float32) for size in (8, 5))
    return {"support_inputs": support, "support_targets": labels, "query_inputs": query}


def learner_of(name, **options):
    learner = registry.LEARNERS[name].compiled("classification", **options)
    for variable in learner.parameter_variables[4:]:
        variable.assign(variable + 0.3)
    return learner


def test_registered_learners_with_any_ways_are_exported_here_or_not_at_all():
    named = {name for name in registry.LEARNERS if registry.LEARNERS[name].any_ways}
    assert named == {*EXPORTED, "matching_network", "nearest_neighbor"}


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_has_a_column_a_class_and_is_that_of_the_learner(name, tmp_path, start_process):
    learner = learner_of(name)
    path = learner.export(tmp_path, max_ways=MAX_WAYS, warmup_sizes=[(8, 5)])
    said = read_description(path)
    assert (said["ways"], said["max_ways"]) == (MAX_WAYS, MAX_WAYS)
    fixed = learner.servable()
    assert (fixed.ways, fixed.max_ways) == (3, None)
    assert said["weights_fingerprint"] != fingerprint(fixed)
    model, expected = start_process(path), {}
    for labels, ways in ((LABELS, 7), (FEWER, 3)):
        sent = request(labels)
        answer = model("adapt_and_predict", sent)
        assert answer["predictions"].shape == answer["logits"].shape == (5, ways)
        inside = learner.adapt(sent["support_inputs"], labels).predict(
            sent["query_inputs"], verbose=0
        )
        classes = sorted(set(labels.tolist()))
        np.testing.assert_allclose(
            answer["logits"][:, classes], inside[:, classes], rtol=2e-6, atol=1e-6
        )
        absent = sorted(set(range(ways)) - set(classes))
        np.testing.assert_array_equal(answer["predictions"][:, absent], 0)
        np.testing.assert_allclose(answer["predictions"].sum(axis=1), 1, rtol=1e-6)
        expected[ways] = answer["predictions"]
        # Once adapted, the same: the vector is as long as for max_ways.
        query = {"query_inputs": sent.pop("query_inputs")}
        adapted = model("adapt", sent).outputs
        adapted.pop("support_loss")
        size = read_description(path)["adapted_weights"]["size"]
        assert adapted["adapted_weights"].shape == (size,)
        later = model("predict_adapted", {**adapted, **query})
        np.testing.assert_allclose(later["predictions"], expected[ways], rtol=1e-5, atol=1e-6)
    tasks = {
        key: np.stack([one, other])
        for (key, one), other in zip(request().items(), request(FEWER).values(), strict=True)
    }
    answer = model("adapt_and_predict_tasks", tasks)
    assert answer["predictions"].shape == (2, 5, 7)
    np.testing.assert_allclose(answer["predictions"][0], expected[7], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answer["predictions"][1, :, :3], expected[3], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(answer["predictions"][1, :, 3:], 0)
    _check_edges(model, tasks)


def _check_edges(model, tasks):
    refused = model("adapt_and_predict", request(LABELS + 3))
    assert "support_targets must be labels in [0, max_ways = 9)." in refused.message
    assert "higher max_ways" in refused.message
    # A task that is refused asks for no columns.
    tasks["support_targets"] = np.stack([LABELS + 3, FEWER])
    answer = model("adapt_and_predict_tasks", tasks)
    assert answer["status"].tolist() == [3, 0]
    assert answer["predictions"].shape == (2, 5, 3)
    none = model("adapt_and_predict_tasks", {key: value[:0] for key, value in tasks.items()})
    assert none["predictions"].shape[:2] == (0, 5)
    # Without a support set all classes are alike.
    initial = model("predict", {"query_inputs": tasks["query_inputs"][0]})
    np.testing.assert_allclose(initial["predictions"], np.full((5, MAX_WAYS), 1 / MAX_WAYS))


@pytest.mark.slow
def test_a_support_set_of_the_ignored_class_alone_is_refused(tmp_path, start_process):
    learner = registry.LEARNERS["r2d2"](registry.network())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    learner.compile("adam", loss)
    model = start_process(learner.export(tmp_path, max_ways=MAX_WAYS, warmup_sizes=[]))
    labels = np.where(LABELS > 3, -1, LABELS).astype(np.int32)
    assert model("adapt_and_predict", request(labels))["predictions"].shape == (5, 4)
    refused = model("adapt_and_predict", request(np.full(8, -1, np.int32)))
    assert "support_targets must have a label that is not the ignored class" in refused.message


def test_a_linear_head_leaves_absent_classes_out_beside_its_predictions(tmp_path, start_process):
    learner = learner_of("maml")
    path = learner.export(tmp_path, warmup_sizes=[])
    assert (read_description(path)["ways"], read_description(path)["max_ways"]) == (3, None)
    model = start_process(path)
    labels = np.array([0, 2, 2, 0, 2, 0, 0, 2], np.int32)
    sent = request(labels)
    answer = model("adapt_and_predict", sent)
    predictions = answer["predictions"].astype("float64")
    assert predictions[:, 1].min() > 1e-3
    kept = predictions * [1, 0, 1]
    expected = kept / kept.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer["present_probabilities"], expected, rtol=1e-5)
    counts = {"inner_steps": np.array(2, np.int32), "inner_rate_scale": np.float32(1)}
    further = model("adapt_and_predict_with", {**sent, **counts})
    assert np.all(further["present_probabilities"][:, 1] == 0)
    tasks = model("adapt_and_predict_tasks", {k: np.stack([v, v]) for k, v in sent.items()})
    for found in tasks["present_probabilities"]:
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    # All classes present: the same numbers.
    whole = model("adapt_and_predict", request(FEWER))
    np.testing.assert_allclose(whole["present_probabilities"], whole["predictions"], rtol=1e-5)
    # Signatures without targets cannot know.
    initial = model("predict", {"query_inputs": sent["query_inputs"]})
    assert "present_probabilities" not in initial.outputs
