"""What the six signatures are called, take, give and mean."""

import dataclasses
import pathlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from example_servables import classification, classification_request, regression_request
from tensorflow.core.protobuf import saved_model_pb2

from tfmeta.saved_model import Signatures
from tfmeta.saved_model.requests import Requests

SUPPORT = {"support_inputs": "float32 [-1,6,6,1]", "support_targets": "int32 [-1]"}
QUERY = {"query_inputs": "float32 [-1,6,6,1]"}
PREDICTIONS = {"predictions": "float32 [-1,3]", "logits": "float32 [-1,3]"}
PRESENT = {"present_probabilities": "float32 [-1,3]"}
LOSS = {"support_loss": "float32 [3]"}
VECTOR = {"adapted_weights": "float32 [99]", "weights_fingerprint": "int64 []"}
TABLE = {
    "adapt_and_predict": ({**SUPPORT, **QUERY}, {**PREDICTIONS, **PRESENT, **LOSS}),
    "serving_default": ({**SUPPORT, **QUERY}, {**PREDICTIONS, **PRESENT, **LOSS}),
    "adapt_and_predict_with": (
        {**SUPPORT, **QUERY, "inner_steps": "int32 []", "inner_rate_scale": "float32 []"},
        {**PREDICTIONS, **PRESENT, "support_loss": "float32 [-1]"},
    ),
    "adapt_and_predict_tasks": (
        {
            "support_inputs": "float32 [-1,-1,6,6,1]",
            "support_targets": "int32 [-1,-1]",
            "query_inputs": "float32 [-1,-1,6,6,1]",
        },
        {
            "predictions": "float32 [-1,-1,3]",
            "logits": "float32 [-1,-1,3]",
            "present_probabilities": "float32 [-1,-1,3]",
            "support_loss": "float32 [-1,3]",
            "status": "int32 [-1]",
        },
    ),
    "adapt": (SUPPORT, {**VECTOR, **LOSS}),
    "predict_adapted": ({**VECTOR, **QUERY}, PREDICTIONS),
    "predict": (QUERY, PREDICTIONS),
}


def described(infos):
    return {
        name: f"{tf.as_dtype(info.dtype).name} "
        f"[{','.join(str(size.size) for size in info.tensor_shape.dim)}]"
        for name, info in infos.items()
    }


def definitions(path):
    file = pathlib.Path(path) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    return {
        name: (described(definition.inputs), described(definition.outputs))
        for name, definition in model.meta_graphs[0].signature_def.items()
        if not name.startswith("__")
    }


def signature(servable, name):
    """The concrete function of one signature, traced alone."""
    specs = Requests.specs
    with mock.patch.object(Requests, "specs", lambda self: {name: specs(self)[name]}):
        return Signatures(servable).functions[name]


def test_the_signatures_of_a_classifier_are_the_table(exported):
    assert definitions(exported("classification").path) == TABLE


def test_a_regression_has_no_logits_and_float_targets(exported):
    inputs, outputs = definitions(exported("regression").path)["serving_default"]
    assert inputs["support_targets"] == "float32 [-1,1]"
    assert outputs == {"predictions": "float32 [-1,1]", "support_loss": "float32 [4]"}


def test_inputs_by_name_are_inputs_of_the_signature(exported):
    found = definitions(exported("two_inputs").path)
    assert found["adapt_and_predict"][0] == {
        "support_inputs_number": "float32 [-1,2]",
        "support_inputs_token": "int32 [-1]",
        "support_targets": "float32 [-1,1]",
        "query_inputs_number": "float32 [-1,2]",
        "query_inputs_token": "int32 [-1]",
    }
    assert set(found["predict"][0]) == {"query_inputs_number", "query_inputs_token"}


def test_inductive_predictions_ask_for_the_support_set(exported):
    found = definitions(exported("inductive").path)
    assert set(found["predict"][0]) == {"support_inputs", "query_inputs"}
    assert set(found["predict_adapted"][0]) == {*VECTOR, "support_inputs", "query_inputs"}


def test_signatures_speak_float32_whatever_the_network_computes_in(exported):
    assert definitions(exported("classification_float64").path) == TABLE


def test_probabilities_are_the_softmax_of_the_logits(served):
    answer = served("classification")("adapt_and_predict", classification_request())
    exponentials = np.exp(answer["logits"])
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-5)  # float32 exp


def test_adapting_lowers_the_support_loss(served):
    answer = served("classification")("adapt_and_predict", classification_request())
    losses = answer["support_loss"]
    assert losses[0] > losses[1] > losses[2]


def test_adapting_once_and_predicting_later_equals_doing_both_at_once(served):
    model, request = served("classification"), classification_request()
    both = model("adapt_and_predict", request)
    query = {"query_inputs": request.pop("query_inputs")}
    adapted = model("adapt", request).outputs
    np.testing.assert_array_equal(adapted.pop("support_loss"), both["support_loss"])
    later = model("predict_adapted", {**adapted, **query})
    np.testing.assert_array_equal(later["logits"], both["logits"])


def test_zero_steps_are_the_initialisation(served):
    model, request = served("classification"), classification_request()
    steps = {"inner_steps": np.array(0, np.int32), "inner_rate_scale": np.array(1, np.float32)}
    none = model("adapt_and_predict_with", {**request, **steps})
    initial = model("predict", {"query_inputs": request["query_inputs"]})
    np.testing.assert_array_equal(none["logits"], initial["logits"])
    assert none["support_loss"].shape == (1,)


def test_a_rate_scaled_to_zero_changes_nothing(served):
    model, request = served("classification"), classification_request()
    steps = {"inner_steps": np.array(3, np.int32), "inner_rate_scale": np.array(0, np.float32)}
    still = model("adapt_and_predict_with", {**request, **steps})
    initial = model("predict", {"query_inputs": request["query_inputs"]})
    np.testing.assert_array_equal(still["logits"], initial["logits"])
    assert len(set(still["support_loss"].tolist())) == 1


def test_an_inductive_answer_does_not_depend_on_the_other_queries(served):
    request = classification_request()
    model = served("inductive")
    together = model("adapt_and_predict", request)["logits"]
    alone = model("adapt_and_predict", {**request, "query_inputs": request["query_inputs"][1:2]})
    np.testing.assert_allclose(alone["logits"][0], together[1], rtol=1e-5, atol=1e-6)
    transductive = served("classification")
    together = transductive("adapt_and_predict", request)["logits"]
    alone = transductive(
        "adapt_and_predict", {**request, "query_inputs": request["query_inputs"][1:2]}
    )
    assert np.abs(alone["logits"][0] - together[1]).max() > 1e-2


def test_adapted_weights_hold_only_what_adapts_in_the_order_of_the_network():
    servable = classification(adapted=[4, 5])  # the head's kernel and bias
    request = classification_request()
    del request["query_inputs"]
    tensors = {name: tf.constant(value) for name, value in request.items()}
    vector = signature(servable, "adapt")(**tensors)["adapted_weights"].numpy()
    state = [tf.convert_to_tensor(variable) for variable in servable.state]
    weights, _ = servable.adapt(
        [tf.convert_to_tensor(variable) for variable in servable.parameters],
        tensors["support_inputs"],
        tensors["support_targets"],
        2,
        tf.constant(1.0),
        state,
    )
    expected = np.concatenate([weights[4].numpy().ravel(), weights[5].numpy()])
    np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-6)  # eager against a graph
    before = np.concatenate([np.ravel(variable) for variable in servable.parameters[4:]])
    assert np.abs(vector - before).max() > 1e-3


@pytest.mark.parametrize("tasks", [0, 1, 3])
def test_several_tasks_are_answered_as_one_by_one(served, tasks):
    model = served("classification")
    requests = [classification_request(seed=seed) for seed in range(tasks)]
    batch = {
        name: np.array([request[name] for request in requests], value.dtype).reshape(
            (tasks, *value.shape)
        )
        for name, value in classification_request().items()
    }
    answer = model("adapt_and_predict_tasks", batch)
    np.testing.assert_array_equal(answer["status"], np.zeros(tasks, np.int32))
    assert answer["logits"].shape == (tasks, 4, 3)
    for task, request in enumerate(requests):
        alone = model("adapt_and_predict", request)
        np.testing.assert_allclose(answer["logits"][task], alone["logits"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            answer["support_loss"][task], alone["support_loss"], rtol=1e-4, atol=1e-6
        )


def test_one_hot_rows_must_sum_to_one_and_give_what_labels_give(served):
    def loss(outputs, targets):
        return tf.reduce_mean(
            tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=outputs)
        )

    servable = classification(target="one_hot", target_shape=(3,), loss=loss)
    function = signature(servable, "adapt_and_predict")
    request = classification_request()
    rows = np.eye(3, dtype=np.float32)[request["support_targets"]]

    def ask(targets):
        tensors = {**request, "support_targets": targets}
        return function(**{name: tf.constant(value) for name, value in tensors.items()})

    expected = served("classification")("adapt_and_predict", request)["logits"]
    np.testing.assert_allclose(ask(rows)["logits"], expected, rtol=1e-4, atol=1e-5)
    for row, said in (([0.5, 0.5, 0.5], r"1\.5"), ([0.5, 0.25, 0.0], r"0\.75")):
        rows[2] = row
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=rf"support_targets.*sum to 1.*{said}"
        ):
            ask(rows)


def test_a_network_that_ends_in_a_sigmoid_gives_its_probabilities_and_their_log_odds():
    servable = classification(
        ways=1,
        target="binary",
        target_shape=(1,),
        link="sigmoid",
        from_logits=False,
        loss=lambda outputs, targets: tf.reduce_mean(tf.square(outputs - targets)),
    )
    squashed = lambda *arguments: tf.math.sigmoid(servable.outputs(*arguments))  # noqa: E731
    ending = dataclasses.replace(servable, outputs=squashed)
    request = classification_request()
    request["support_targets"] = np.array([[0], [1]] * 3, np.float32)
    function = signature(ending, "adapt_and_predict")
    answer = function(**{name: tf.constant(value) for name, value in request.items()})
    probabilities = answer["predictions"].numpy()
    assert np.all((probabilities > 0) & (probabilities < 1))
    log_odds = np.log(probabilities / (1 - probabilities))
    np.testing.assert_allclose(answer["logits"], log_odds, rtol=1e-4, atol=1e-5)
    request["support_targets"][3] = 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="support_targets must be numbers"):
        function(**{name: tf.constant(value) for name, value in request.items()})


def test_predictions_of_a_regression_are_its_outputs(served, exported):
    request = regression_request()
    answer = served("regression")("adapt_and_predict", request)
    assert set(answer.outputs) == {"predictions", "support_loss"}
    assert answer["predictions"].shape == (7, 1)
