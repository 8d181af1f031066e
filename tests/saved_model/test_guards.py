"""Each guard through TensorFlow's C API, which checks no rank or shape by itself."""

import numpy as np
import pytest
import tensorflow as tf
from example_servables import classification_request, regression_request
from request_pipe import INVALID_ARGUMENT, OK, requests_of_all

from tfmeta.saved_model.guards import target_rule, targets_agree, worst_target

NAN, INFINITY = np.float32("nan"), np.float32("inf")


def images(*shape):
    return np.zeros(shape, np.float32)


def labels(*values):
    return np.array(values, np.int32)


def spoiled(value, *shape):
    array = images(*shape)
    array.flat[-1] = value
    return array


ADAPTING = ("adapt_and_predict", "adapt_and_predict_with", "adapt_and_predict_tasks", "adapt")
QUERYING = (
    "adapt_and_predict",
    "adapt_and_predict_with",
    "adapt_and_predict_tasks",
    "predict_adapted",
    "predict",
)
SHAPE = "must have the shape"
# (signatures, changed inputs, what the message says)
BROKEN = {
    "support rank": (ADAPTING, {"support_inputs": images(6, 36)}, f"support_inputs {SHAPE}"),
    "support rank 0": (ADAPTING, {"support_inputs": images()}, f"support_inputs {SHAPE}"),
    "support size": (ADAPTING, {"support_inputs": images(6, 7, 6, 1)}, f"support_inputs {SHAPE}"),
    "support channels": (
        ADAPTING,
        {"support_inputs": images(6, 6, 6, 3)},
        f"support_inputs {SHAPE} [any, 6, 6, 1]. Received:] [6 6 6 3]",
    ),
    "query rank": (QUERYING, {"query_inputs": images(4, 6, 6)}, f"query_inputs {SHAPE}"),
    "query rank 1": (QUERYING, {"query_inputs": images(4)}, f"query_inputs {SHAPE}"),
    "query size": (QUERYING, {"query_inputs": images(4, 6, 8, 1)}, f"query_inputs {SHAPE}"),
    "targets rank": (
        ADAPTING,
        {"support_targets": np.zeros((6, 1), np.int32)},
        f"support_targets {SHAPE} [any]",
    ),
    "no support": (
        ADAPTING,
        {"support_inputs": images(0, 6, 6, 1), "support_targets": labels()},
        "must have at least 1 example",
    ),
    "lengths": (
        ADAPTING,
        {"support_targets": labels(0, 1, 2)},
        "support_inputs and support_targets must have the same length. Received:] [6 3]",
    ),
    "many support": (
        ADAPTING,
        {"support_inputs": images(41, 6, 6, 1), "support_targets": labels(*[0] * 41)},
        "must have at most 40 examples. Received:] [41]",
    ),
    "many query": (
        QUERYING,
        {"query_inputs": images(31, 6, 6, 1)},
        "query_inputs must have at most 30 examples. Received:] [31]",
    ),
    "label above": (
        ADAPTING,
        {"support_targets": labels(0, 1, 2, 0, 3, 2)},
        "support_targets must be labels in [0, 3). Received:] [3]",
    ),
    "label below": (
        ADAPTING,
        {"support_targets": labels(0, 1, 2, 0, -1, 2)},
        "support_targets must be labels in [0, 3). Received:] [-1]",
    ),
    "support nan": (
        ADAPTING,
        {"support_inputs": spoiled(NAN, 6, 6, 6, 1)},
        "support_inputs must be finite numbers",
    ),
    "support infinite": (
        ADAPTING,
        {"support_inputs": spoiled(-INFINITY, 6, 6, 6, 1)},
        "support_inputs must be finite numbers",
    ),
    "query nan": (
        QUERYING,
        {"query_inputs": spoiled(NAN, 4, 6, 6, 1)},
        "query_inputs must be finite numbers",
    ),
    "steps below": (
        ("adapt_and_predict_with",),
        {"inner_steps": np.array(-1, np.int32)},
        "inner_steps must be in [0, 60]. Received:] [-1]",
    ),
    "steps above": (
        ("adapt_and_predict_with",),
        {"inner_steps": np.array(61, np.int32)},
        "inner_steps must be in [0, 60]. Received:] [61]",
    ),
    "steps rank": (("adapt_and_predict_with",), {"inner_steps": labels(1)}, f"inner_steps {SHAPE}"),
    "scale nan": (
        ("adapt_and_predict_with",),
        {"inner_rate_scale": np.array(NAN)},
        "inner_rate_scale must be a finite number",
    ),
    "scale negative": (
        ("adapt_and_predict_with",),
        {"inner_rate_scale": np.array(-0.5, np.float32)},
        "inner_rate_scale must be a finite number, 0 or above. Received:] [-0.5]",
    ),
    "scale rank": (
        ("adapt_and_predict_with",),
        {"inner_rate_scale": np.ones((1, 1), np.float32)},
        f"inner_rate_scale {SHAPE}",
    ),
    "vector short": (
        ("predict_adapted",),
        {"adapted_weights": images(3)},
        f"adapted_weights {SHAPE}",
    ),
    "vector rank": (
        ("predict_adapted",),
        {"adapted_weights": images(1, 3)},
        f"adapted_weights {SHAPE}",
    ),
    "fingerprint": (
        ("predict_adapted",),
        {"weights_fingerprint": np.array(12, np.int64)},
        "weights_fingerprint must be",
    ),
    "fingerprint rank": (
        ("predict_adapted",),
        {"weights_fingerprint": np.array([12], np.int64)},
        f"weights_fingerprint {SHAPE}",
    ),
}
VALUE_RULES = ("label above", "label below", "support nan", "support infinite", "query nan")
CASES = [
    pytest.param(signature, changed, message, id=f"{signature}-{name}")
    for name, (signatures, changed, message) in BROKEN.items()
    for signature in signatures
    if not (signature.endswith("_tasks") and name in VALUE_RULES)  # they get a status instead
]


@pytest.fixture(scope="module")
def good(exported, served):
    """A request of each signature that is answered."""
    return requests_of_all(served("classification"), classification_request())


@pytest.mark.parametrize(("signature", "changed", "message"), CASES)
def test_a_broken_rule_is_an_invalid_argument_and_the_next_request_is_fine(
    served, good, signature, changed, message
):
    model = served("classification")
    if signature.endswith("_tasks"):
        changed = {name: value[np.newaxis] for name, value in changed.items()}
        message = message.replace("[any", "[any, any").replace("] [6 6 6 3]", "] [1 6 6 6 3]")
    answer = model(signature, {**good[signature], **changed})
    assert answer.code == INVALID_ARGUMENT
    assert message in answer.message
    assert next(iter(changed)) in answer.message
    assert model(signature, good[signature]).code == OK


def test_a_request_of_too_many_tasks_is_refused(served, good):
    request = good["adapt_and_predict_tasks"]
    many = {name: np.repeat(value, 21, axis=0) for name, value in request.items()}
    answer = served("classification")("adapt_and_predict_tasks", many)
    assert answer.code == INVALID_ARGUMENT
    assert "support_inputs must have at most 20 tasks. Received:] [21]" in answer.message
    assert served("classification")("adapt_and_predict_tasks", request).code == OK


def test_a_non_finite_adapted_weight_is_refused(served, good):
    request = dict(good["predict_adapted"])
    request["adapted_weights"] = request["adapted_weights"].copy()
    request["adapted_weights"][5] = NAN
    answer = served("classification")("predict_adapted", request)
    assert answer.code == INVALID_ARGUMENT
    assert "adapted_weights must be finite numbers" in answer.message


def test_non_finite_regression_targets_are_refused(served):
    request = regression_request()
    request["support_targets"][0] = INFINITY
    answer = served("regression")("adapt_and_predict", request)
    assert answer.code == INVALID_ARGUMENT
    assert "support_targets must be finite numbers" in answer.message


def test_divergence_is_an_error_that_says_so_and_never_nan(served):
    model = served("regression")
    steps = {"inner_steps": np.array(60, np.int32), "inner_rate_scale": np.array(1e6, np.float32)}
    answer = model("adapt_and_predict_with", {**regression_request(), **steps})
    assert answer.code == INVALID_ARGUMENT
    assert "Adaptation to the support set diverged" in answer.message
    huge = {"query_inputs": np.full((2, 1), 3e38, np.float32)}
    scaled = model("predict", huge)
    if scaled.code == OK:
        assert np.all(np.isfinite(scaled["predictions"]))
    else:
        assert "predictions for query_inputs diverged" in scaled.message
    assert model("adapt_and_predict", regression_request()).code == OK


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"support_inputs_number": images(3, 4)}, f"support_inputs_number {SHAPE} [any, 2]"),
        ({"support_inputs_token": labels(0, 1)}, "must have the same length"),
        ({"query_inputs_token": np.zeros((2, 1), np.int32)}, f"query_inputs_token {SHAPE} [any]"),
        ({"query_inputs_number": images(3, 2)}, "must have the same length"),
        ({"query_inputs_number": spoiled(NAN, 2, 2)}, "query_inputs_number must be finite"),
    ],
)
def test_each_of_several_inputs_has_its_guards(served, changed, message):
    request = {
        "support_inputs_number": images(3, 2),
        "support_inputs_token": labels(0, 1, 2),
        "support_targets": images(3, 1),
        "query_inputs_number": images(2, 2),
        "query_inputs_token": labels(3, 4),
    }
    model = served("two_inputs")
    answer = model("adapt_and_predict", {**request, **changed})
    assert answer.code == INVALID_ARGUMENT
    assert message in answer.message
    assert next(iter(changed)) in answer.message
    assert model("adapt_and_predict", request).code == OK


def test_a_support_set_without_one_of_the_classes_is_legal(served):
    request = classification_request()
    request["support_targets"] = labels(0, 0, 0, 2, 2, 2)
    assert served("classification")("adapt_and_predict", request).code == OK


@pytest.mark.parametrize("signature", QUERYING)
def test_an_empty_query_set_gives_empty_predictions(served, good, signature):
    empty = images(1, 0, 6, 6, 1) if signature.endswith("_tasks") else images(0, 6, 6, 1)
    answer = served("classification")(signature, {**good[signature], "query_inputs": empty})
    assert answer["predictions"].shape == (*empty.shape[:-3], 3)
    assert answer["logits"].shape == (*empty.shape[:-3], 3)


def test_the_ignored_label_is_legal_and_no_other_beside_the_classes():
    labels = tf.constant([[0, 1, 255], [0, 7, 255]])
    agree = targets_agree(labels, "sparse", 2, axes=[1], ignored=255)
    assert agree.numpy().tolist() == [True, False]
    assert int(worst_target(labels, "sparse", 2, 255)) == 7
    rule = target_rule("support_targets", "sparse", 2, 255)
    assert rule == "support_targets must be labels in [0, 2), or the ignored 255."
