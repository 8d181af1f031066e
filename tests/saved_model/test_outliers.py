"""The output outlier_score is that of the learner in process; the metadata say what holds."""

import numpy as np
import pytest

from tests.conformance import registry
from tfmeta.saved_model import read_description

LABELS = np.array([0, 1, 1, 2, 2, 0, 0, 1], np.int32)
CASES = [
    ("maml", "energy"),
    pytest.param("prototypical_network", "nearest_prototype", marks=pytest.mark.slow),
    pytest.param("r2d2", "max_logit", marks=pytest.mark.slow),
    pytest.param("bmaml", "max_logit", marks=pytest.mark.slow),
]


def request():
    rng = np.random.default_rng(0)
    support, query = (rng.normal(size=(size, 2)).astype(np.float32) for size in (8, 5))
    return {"support_inputs": support, "support_targets": LABELS, "query_inputs": query}


@pytest.mark.parametrize(("name", "score"), CASES)
def test_every_signature_with_several_outputs_says_how_strange_a_query_is(
    name, score, tmp_path, start_process
):
    learner = registry.LEARNERS[name].compiled("classification")
    rule = {"score": score, "threshold": np.float64(-2.5), "ways": 3, "shots": 2}
    path = learner.export(tmp_path, warmup_sizes=[], outliers=rule)
    assert read_description(path)["outliers"] == {**rule, "threshold": -2.5}
    model, sent = start_process(path), request()
    x = tuple(sent[key][None] for key in sent)
    inside = np.asarray(learner.outlier_scores(x, score))[0]
    found = model("adapt_and_predict", sent)["outlier_score"]
    np.testing.assert_allclose(found, inside, rtol=2e-6, atol=1e-6)
    tasks = model("adapt_and_predict_tasks", {key: np.stack([v, v]) for key, v in sent.items()})
    for one in tasks["outlier_score"]:
        np.testing.assert_allclose(one, inside, rtol=1e-5, atol=1e-6)
    counts = {"inner_steps": np.array(0, np.int32), "inner_rate_scale": np.float32(1)}
    before = model("adapt_and_predict_with", {**sent, **counts})["outlier_score"]
    query = {"query_inputs": sent.pop("query_inputs")}
    np.testing.assert_allclose(model("predict", query)["outlier_score"], before, rtol=1e-5)
    adapted = model("adapt", sent).outputs
    adapted.pop("support_loss")
    later = model("predict_adapted", {**adapted, **query})
    np.testing.assert_allclose(later["outlier_score"], inside, rtol=1e-5, atol=1e-5)
    empty = model("predict", {"query_inputs": np.zeros((0, 2), np.float32)})
    assert empty["outlier_score"].shape == (0,)


def test_the_metadata_say_for_what_the_threshold_holds():
    learner = registry.LEARNERS["maml"].compiled("classification")
    assert learner.servable().outliers == {"score": "energy", "threshold": None}
    rule = {"score": "max_logit", "threshold": 1.5, "ways": 3, "normalization": "transductive"}
    assert learner.servable(outliers=rule).outliers == rule
    # Of other answers than those that it was measured on it holds nothing.
    other = learner.servable(outliers=rule, normalization="running").outliers
    assert other == {**rule, "threshold": None}
    steps = learner.test_inner_steps
    measured = {**rule, "inner_steps": steps, "test": {"auroc": 0.9}, "scores": {"energy": 0.8}}
    assert learner.servable(outliers=measured).outliers == measured
    for changed, mode in (({**measured, "inner_steps": steps + 45}, None), (measured, "running")):
        left = learner.servable(outliers=changed, normalization=mode).outliers
        kept = {name: value for name, value in changed.items() if name not in ("test", "scores")}
        assert left == {**kept, "threshold": None}
    regression = registry.LEARNERS["maml"].compiled("regression")
    assert regression.servable().outliers is None
    with pytest.raises(ValueError, match="Outlier scores are for classifiers"):
        regression.servable(outliers=rule)
