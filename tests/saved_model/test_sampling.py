"""The signature `adapt_and_sample`: learners sample through the C API as they do in process."""

import keras
import numpy as np
import pytest
from request_pipe import INVALID_ARGUMENT, OK
from test_learners import IMAGE_SHAPE, WAYS, request_of

import tfmeta
from tests.conformance import registry
from tfmeta.saved_model import read_description

SEED = np.array([3, 7], np.int32)


def learner_of(name, kind):
    keras.utils.set_random_seed(7)
    if kind == "regression":
        network, loss = tfmeta.networks.mlp(hidden=(4,), dtype="float64"), "mse"
    else:
        network = tfmeta.networks.nonconv(WAYS, IMAGE_SHAPE, hidden=(4,), dtype="float64")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner = registry.LEARNERS[name](network, inner_steps=2)
    learner.compile(keras.optimizers.SGD(0.1), loss)
    return learner


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("bmaml", "classification", marks=pytest.mark.slow),
        pytest.param("platipus", "regression", marks=pytest.mark.slow),
        pytest.param("llama", "regression", marks=pytest.mark.product),
    ],
)
def test_the_signature_samples_as_the_learner_does(name, kind, tmp_path, start_process):
    learner = learner_of(name, kind)
    # Warmup records, which take as long as the rest, are written once.
    path = learner.export(tmp_path, warmup_sizes=[(6, 4)] if name == "bmaml" else [])
    assert read_description(path)["samples"] == learner.samples
    assert read_description(path)["noise"] == (0.7 if kind == "regression" else None)
    model, request = start_process(path), request_of(kind)
    answer = model("adapt_and_sample", {**request, "seed": SEED})
    task = tuple(
        value[None].astype("float64") if value.dtype == np.float32 else value[None]
        for value in request.values()
    )
    expected = learner.predictive(task, seed=SEED)
    np.testing.assert_allclose(answer["samples"], expected.samples[0], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(answer["predictions"], expected.mean[0], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(answer["predictions_std"], expected.std[0], rtol=2e-4, atol=2e-6)
    assert answer["support_loss"].shape == (3,)
    again = model("adapt_and_sample", {**request, "seed": SEED})
    np.testing.assert_array_equal(again["samples"], answer["samples"])
    other = model("adapt_and_sample", {**request, "seed": SEED + 1})
    assert (np.abs(other["samples"] - answer["samples"]).max() > 1e-5) == (name != "bmaml")
    _check_the_other_signatures(model, request, learner, task)
    bad = model("adapt_and_sample", {**request, "seed": SEED[:1]})
    assert bad.code == INVALID_ARGUMENT
    assert "seed must have the shape [2]" in bad.message


def _check_the_other_signatures(model, request, learner, task):
    mean = learner.predictive(task).mean[0]
    both = model("adapt_and_predict", request)
    np.testing.assert_allclose(both["predictions"], mean, rtol=2e-5, atol=2e-6)
    query = {"query_inputs": request["query_inputs"]}
    support = {key: value for key, value in request.items() if key not in query}
    adapted = model("adapt", support).outputs
    del adapted["support_loss"]
    later = model("predict_adapted", {**adapted, **query})
    np.testing.assert_allclose(later["predictions"], mean, rtol=1e-4, atol=1e-5)
    assert model("predict", query).code == OK
    empty = model(
        "adapt_and_sample", {**request, "query_inputs": query["query_inputs"][:0], "seed": SEED}
    )
    assert empty["samples"].shape[:2] == (learner.samples, 0)
