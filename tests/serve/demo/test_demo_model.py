"""Putting an export into the demo: only one that answers what the page asks."""

import json

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from benchmarks import demo_model

DESCRIPTION = {
    "kind": "classification",
    "target": "sparse",
    "normalization": "inductive",
    "inputs": {"inputs": {"shape": [28, 28, 1], "dtype": "float32"}},
    "output_shape": [5],
}


def export(folder, **changes):
    """Versions 2 and 10 of something that looks like an export."""
    for version in ("2", "10"):
        (folder / version / "assets.extra").mkdir(parents=True)
        text = json.dumps({**DESCRIPTION, **changes})
        (folder / version / "assets.extra" / "tfmeta.json").write_text(text)
        (folder / version / "saved_model.pb").write_text(version)
    return folder


def test_the_newest_version_is_shipped_in_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "model" / "1"
    target.mkdir(parents=True)
    (target / "left_over").write_text("of an older export")

    size = demo_model.ship(export(tmp_path / "export"), target)

    assert (target / "saved_model.pb").read_text() == "10"
    assert not (target / "left_over").exists()
    assert size == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def test_warmup_is_what_the_page_asks_with_each_number_of_classes_and_the_default(tmp_path):
    demo_model.write_warmup(tmp_path / "records")

    seen = []
    for record in tf.data.TFRecordDataset(str(tmp_path / "records")):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        arrays = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        assert arrays["query_inputs"].shape == (1, 28, 28, 1)
        assert arrays["support_targets"].dtype == "int32"
        seen.append((request.model_spec.signature_name, len(arrays["support_inputs"])))
        if seen[-1][0] != "serving_default":
            assert arrays["inner_steps"].dtype == "int32"
    page = [("adapt_and_predict_with", classes) for classes in (2, 3, 4, 5)]
    assert seen == [*page, ("serving_default", 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": "transductive"},
        {"output_shape": [20]},
        {"kind": "regression"},
        {"inputs": {"inputs": {"shape": [84, 84, 3]}}},
    ],
)
def test_a_model_that_the_page_cannot_ask_is_refused(tmp_path, changes):
    with pytest.raises(ValueError, match="The page asks a classifier of 5 classes"):
        demo_model.ship(export(tmp_path / "export", **changes), tmp_path / "model")


def test_a_folder_without_versions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold versions"):
        demo_model.ship(tmp_path, tmp_path / "model")
