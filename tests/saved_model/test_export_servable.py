"""The version directory: SavedModel, warmup records, metadata."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from example_servables import classification, regression
from request_pipe import OK
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

import tfmeta.saved_model
from tfmeta.saved_model import InputSpec, Servable
from tfmeta.saved_model.adapted_weights import fingerprint

SIGNATURES = {
    "adapt_and_predict",
    "adapt_and_predict_with",
    "adapt_and_predict_tasks",
    "adapt",
    "predict_adapted",
    "predict",
}


def records(path):
    """(signature, request) of each warmup record."""
    file = pathlib.Path(path) / "assets.extra" / "tf_serving_warmup_requests"
    if not file.exists():
        return []
    found = []
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        found.append((request.model_spec.signature_name, inputs))
    return found


def description(path):
    return json.loads((pathlib.Path(path) / "assets.extra" / "tfmeta.json").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "classification",
        "regression",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("inductive", "two_inputs")),
    ],
)
def test_there_is_a_warmup_record_a_signature_and_a_server_answers_each(
    exported, served, name, tmp_path
):
    path = exported(name).path
    if name not in ("classification", "regression"):  # exported without records
        path = tfmeta.saved_model.export_servable(exported(name).servable, tmp_path)
    found = records(path)
    assert {signature for signature, _ in found} == SIGNATURES | {"serving_default"}
    for signature, request in found:
        assert served(name)(signature, request).code == OK


def test_the_default_signature_is_warm_once_the_one_it_stands_for_is(exported):
    text = pathlib.Path(exported("regression").path, "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(text).meta_graphs
    definitions = graph.signature_def
    # A session prepares a run by the names of its tensors.
    assert definitions["serving_default"] == definitions["adapt_and_predict"]
    loaded = tf.saved_model.load(exported("regression").path)
    assert set(loaded.signatures) == SIGNATURES | {"serving_default"}


def test_warmup_records_have_the_sizes_asked_for(tmp_path):
    path = tfmeta.saved_model.export_servable(
        regression(), tmp_path, warmup_sizes=[(3, 1), (6, 9), (3, 1)]
    )
    sizes = [
        (len(request["support_inputs"]), len(request["query_inputs"]))
        for signature, request in records(path)
        if signature == "adapt_and_predict"
    ]
    assert sizes == [(3, 1), (6, 9)]


def test_a_request_that_diverges_becomes_no_warmup_record(tmp_path):
    def exploding(*arguments):
        weights, losses = servable.adapt(*arguments)
        return weights, losses + tf.constant(np.inf)

    servable = regression()
    broken = Servable(**{**vars(servable), "adapt": exploding})
    with pytest.warns(UserWarning, match="No warmup record for adapt_and_predict .*diverged"):
        path = tfmeta.saved_model.export_servable(broken, tmp_path)
    assert {signature for signature, _ in records(path)} == {
        "adapt_and_predict_tasks",  # says it by a status
        "predict_adapted",
        "predict",
    }


def test_too_many_warmup_records_are_refused(tmp_path):
    with pytest.raises(ValueError, match="At most 1000 warmup records"):
        tfmeta.saved_model.export_servable(
            regression(), tmp_path, warmup_sizes=[(size, 1) for size in range(1, 200)]
        )
    assert os.listdir(tmp_path) == []


def test_the_description_says_what_the_model_is(exported):
    model = exported("classification")
    found = description(model.path)
    assert found["schema_version"] == 1
    assert found["kind"] == "classification"
    assert found["ways"] == 3
    assert found["output_shape"] == [3]
    assert found["inputs"] == {"inputs": {"shape": [6, 6, 1], "dtype": "float32"}}
    assert (found["target"], found["target_shape"], found["link"]) == ("sparse", [], "softmax")
    assert (found["normalization"], found["needs_support"]) == ("transductive", False)
    assert (found["inner_steps"], found["inner_rate"]) == (2, 0.4)
    assert found["limits"] == {
        "max_support": 40,
        "max_query": 30,
        "max_tasks": 20,
        "max_inner_steps": 60,
    }
    assert found["versions"]["tensorflow"] == tf.__version__
    assert found["weights_fingerprint"] == fingerprint(model.servable)
    assert found["status_codes"]["0"] == "answered"
    assert found == tfmeta.saved_model.read_description(model.path)


def test_the_layout_takes_adapted_weights_apart(exported, served):
    model = exported("classification")
    layout = description(model.path)["adapted_weights"]
    request = {
        "support_inputs": np.zeros((2, 6, 6, 1), np.float32),
        "support_targets": np.zeros(2, np.int32),
    }
    vector = served("classification")("adapt", request)["adapted_weights"]
    assert vector.shape == (layout["size"],)
    rows = layout["layout"]
    assert [row["path"] for row in rows][-2:] == ["head/kernel", "head/bias"]
    assert rows[-1]["offset"] + rows[-1]["size"] == layout["size"]
    last = vector[rows[-1]["offset"] :].reshape(rows[-1]["shape"])
    initial = model.servable.parameters[-1].numpy()
    assert last[0] > initial[0]  # all support examples are of class 0


def test_a_regression_has_no_ways_and_its_inputs_by_name(exported):
    found = description(exported("two_inputs").path)
    assert (found["kind"], found["ways"], found["output_shape"]) == ("regression", None, [1])
    assert found["inputs"] == {
        "inputs_number": {"shape": [2], "dtype": "float32"},
        "inputs_token": {"shape": [], "dtype": "int32"},
    }


def test_numbers_of_numpy_and_what_the_caller_adds_are_described(tmp_path):
    path = tfmeta.saved_model.export_servable(
        regression(inner_rate={"*": np.float32(0.5)}, metadata={"seed": np.int64(3)}),
        tmp_path,
        warmup_sizes=[],
        preprocessing={"invert": True},
        metadata={"run": "a"},
    )
    found = description(path)
    assert found["inner_rate"] == {"*": 0.5}
    assert found["extra"] == {"seed": 3, "run": "a"}
    assert found["preprocessing"] == {"invert": True}


def test_each_variable_is_stored_once(exported):
    model = exported("classification")
    stored = tf.train.list_variables(str(pathlib.Path(model.path) / "variables" / "variables"))
    values = [shape for name, shape in stored if "_CHECKPOINTABLE" not in name]
    servable = model.servable
    expected = [list(v.shape) for v in (*servable.parameters, *servable.state)]
    assert sorted(values) == sorted(expected)


def test_the_fingerprint_is_of_the_values_and_their_meaning():
    servable = regression()
    first = fingerprint(servable)
    assert 0 <= first < 2**53  # what JSON and JavaScript can hold
    assert fingerprint(regression()) == first
    assert fingerprint(regression(adapted=[2, 3])) != first
    kernel = servable.parameters[0]
    kernel.assign(kernel.numpy() + 1e-6)
    assert fingerprint(servable) != first


def test_a_fingerprint_of_another_version_is_refused(exported, served, tmp_path, start_process):
    adapted = served("classification")(
        "adapt",
        {
            "support_inputs": np.zeros((2, 6, 6, 1), np.float32),
            "support_targets": np.zeros(2, np.int32),
        },
    ).outputs
    del adapted["support_loss"]
    servable = classification()
    servable.parameters[-1].assign([1.0, 0, 0])
    path = tfmeta.saved_model.export_servable(servable, tmp_path, warmup_sizes=[])
    request = {**adapted, "query_inputs": np.zeros((1, 6, 6, 1), np.float32)}
    assert served("classification")("predict_adapted", request).code == OK
    answer = start_process(path)("predict_adapted", request)
    assert "weights_fingerprint must be" in answer.message


def test_an_initialisation_that_is_not_finite_is_refused(tmp_path):
    servable = regression()
    servable.parameters[1].assign(np.full(8, np.nan, np.float32))
    with pytest.raises(ValueError, match=r"finite numbers.*hidden_1/bias"):
        tfmeta.saved_model.export_servable(servable, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_second_export_is_the_next_version(tmp_path):
    servable = regression()
    paths = [
        tfmeta.saved_model.export_servable(servable, tmp_path, warmup_sizes=[]) for _ in range(2)
    ]
    assert [os.path.basename(path) for path in paths] == ["1", "2"]
    with pytest.raises(FileExistsError, match="version=2"):
        tfmeta.saved_model.export_servable(servable, tmp_path, version=2)


@pytest.mark.parametrize(
    "limits", [{"max_support": 0}, {"max_query": 2.5}, {"max_tasks": 0}, {"max_inner_steps": -1}]
)
def test_limits_must_be_whole_numbers(tmp_path, limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be a whole number"):
        tfmeta.saved_model.export_servable(regression(), tmp_path, **limits)
    assert os.listdir(tmp_path) == []


def test_a_servable_of_unknown_kind_says_what_there_is():
    with pytest.raises(ValueError, match="link must be one of softmax, sigmoid, identity"):
        regression(link="probit")
    assert regression().named_inputs == {"": InputSpec((1,), "float32")}


def test_a_version_carries_checksums_that_sha256sum_reads(exported):
    path = exported("regression").path
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "assets.extra/SHA256SUMS"],
        cwd=path,
        capture_output=True,
        text=True,
        check=True,
    )
    checked = {line.split(":")[0] for line in done.stdout.splitlines()}
    files = {
        str(file.relative_to(path)) for file in pathlib.Path(path).rglob("*") if file.is_file()
    }
    assert checked == {file for file in files if not file.startswith("assets.extra/")}
