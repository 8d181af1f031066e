"""Keras callbacks in a run: which events they get, with what, and what they may do."""

import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import gin
from tests.runs.finished_runs import end_with_the_last_step
from tfmeta.runs import restore, train
from tfmeta.runs.checkpoints import Checkpoints
from tfmeta.runs.recipe import RecipeError

EVENTS = []


@gin.configurable(module="callbacks_test")
class Recorder(keras.callbacks.Callback):
    """Records what it is told; ends the training after an epoch, where asked to."""

    def __init__(self, last_epoch=None):
        super().__init__()
        self.last_epoch = last_epoch

    def on_train_begin(self, logs=None):
        EVENTS.append(("train", self.params["epochs"], self.params["initial_epoch"]))

    def on_epoch_begin(self, epoch, logs=None):
        EVENTS.append(("begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        EVENTS.append(("end", epoch, dict(logs)))
        self.model.stop_training = epoch == self.last_epoch

    def on_train_end(self, logs=None):
        EVENTS.append(("trained",))


@gin.configurable(module="callbacks_test")
def no_callback():
    return 3


@pytest.fixture(autouse=True)
def no_events():
    EVENTS.clear()


def rows(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        return {int(row["step"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def recorded(small_recipe, tmp_path_factory):
    """The recipe of a run with a recorder, its work directory, and its events."""
    asked = small_recipe(
        *("run.callbacks = [@Recorder]", "train.steps = 10", "log.every = 3"),
        *("validate.every = 8", "log.keep = 3"),
    )
    workdir = tmp_path_factory.mktemp("recorded")
    EVENTS.clear()
    with pytest.MonkeyPatch.context() as patch:
        end_with_the_last_step(patch)
        assert train(asked, workdir) == 0
    return asked, workdir, tuple(EVENTS)


def test_an_epoch_is_from_checkpoint_to_checkpoint_and_its_logs_are_the_row(recorded):
    _, workdir, events = recorded
    named = [event[:2] for event in events]
    epochs = [(kind, epoch) for epoch in (0, 1, 2) for kind in ("begin", "end")]
    assert named == [("train", 3), *epochs, ("trained",)]
    written = rows(workdir)
    for step, event in zip((4, 8, 10), [e for e in events if e[0] == "end"], strict=True):
        logs = {name: str(value) for name, value in event[2].items()}
        row = {name: value for name, value in written[step].items() if value}
        assert logs["loss"] == row["loss"]
        assert logs.keys() == row.keys()
        assert logs.get("val_loss") == row.get("val_loss")
    assert "val_loss" in events[4][2]


def test_a_resumed_run_tells_its_first_epoch(recorded, tmp_path, training_alone):
    asked, finished, _ = recorded
    workdir = Path(shutil.copytree(finished, tmp_path / "run"))
    checkpoints = Checkpoints(workdir / "checkpoints")
    for step in checkpoints.steps():
        if step > 4:
            shutil.rmtree(checkpoints.path(step))
    (workdir / "checkpoints" / "best.json").unlink()
    assert train(asked, workdir) == 0
    assert EVENTS[:2] == [("train", 3, 1), ("begin", 1)]


def test_a_run_that_a_callback_ended_stays_ended(
    small_recipe, tmp_path, no_pictures_of_tasks, request
):
    bindings = ("run.callbacks = [@Recorder]", "Recorder.last_epoch = 1", "validate.every = 3")
    bindings += ("evaluate.checkpoint = 'best'",)
    assert train(small_recipe(*bindings), tmp_path) == 0
    assert Checkpoints(tmp_path / "checkpoints").steps()[-1] == 8
    assert json.loads((tmp_path / "run.json").read_text())["stopped_at"] == 8
    assert rows(tmp_path)[8]["val_loss"]  # the best is chosen of what was trained
    assert json.loads((tmp_path / "evaluation.json").read_text())["protocol"]["step"] in (3, 6, 8)
    EVENTS.clear()
    (tmp_path / "checkpoints" / "best.json").unlink()  # as a crash before its validation leaves it
    request.getfixturevalue("training_alone")
    assert train(small_recipe(*bindings), tmp_path) == 0
    assert Checkpoints(tmp_path / "checkpoints").best()["step"] == 8
    assert EVENTS == []
    assert max(rows(tmp_path)) == 8


def test_the_last_checkpoint_has_the_weights_that_early_stopping_restored(
    small_recipe, tmp_path, no_pictures_of_tasks
):
    bindings = (
        "run.callbacks = [@EarlyStopping]",
        "EarlyStopping.monitor = 'val_loss'",
        "EarlyStopping.min_delta = 1e9",  # so that the first epoch stays the best
        "EarlyStopping.patience = 1",
        "EarlyStopping.restore_best_weights = True",
        "validate.every = 4",
        "log.keep = 3",
        "evaluate.checkpoint = 'last'",
    )
    assert train(small_recipe(*bindings), tmp_path) == 0
    assert Checkpoints(tmp_path / "checkpoints").steps() == [4, 8]
    assert Checkpoints(tmp_path / "checkpoints").best()["step"] == 4
    first, last = restore(tmp_path, "best"), restore(tmp_path, "last")
    for one, other in zip(first.parameter_variables, last.parameter_variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert rows(tmp_path)[4]["val_loss"] == rows(tmp_path)[8]["val_loss"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["protocol"]["step"] == 8


def test_keras_own_callbacks_reach_the_learner_and_its_optimizer(
    small_recipe, tmp_path, training_alone
):
    log = tmp_path / "epochs.csv"
    bindings = (
        "run.callbacks = [@ReduceLROnPlateau, @EarlyStopping, @CSVLogger]",
        f"CSVLogger.filename = {str(log)!r}",
        "EarlyStopping.monitor = 'val_loss'",
        "EarlyStopping.patience = 5",
        "ReduceLROnPlateau.monitor = 'loss'",
        "ReduceLROnPlateau.mode = 'max'",
        "ReduceLROnPlateau.min_delta = 1e9",
        "ReduceLROnPlateau.patience = 1",
        "validate.every = 4",
    )
    assert train(small_recipe(*bindings), tmp_path / "run") == 0
    with open(log, newline="") as file:
        epochs = list(csv.DictReader(file))
    assert [float(row["step"]) for row in epochs] == [4, 8, 12]
    assert float(epochs[-1]["learning_rate"]) < float(epochs[0]["learning_rate"])


@gin.configurable(module="callbacks_test")
def mlflow_logger(folder):
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"file:{folder}")
    return mlflow.keras.MlflowCallback()


@pytest.mark.slow
def test_mlflow_logs_the_rows_of_a_run(small_recipe, tmp_path, monkeypatch):
    """Needs mlflow-skinny and pandas, which no extra brings."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("pandas")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "mlruns"
    bindings = ("run.callbacks = [@mlflow_logger]", f"mlflow_logger.folder = {str(folder)!r}")
    assert train(small_recipe(*bindings, "validate.every = 4"), tmp_path / "run") == 0
    mlflow.end_run()
    client = mlflow.MlflowClient(f"file:{folder}")
    (found,) = client.search_runs(["0"])
    written = rows(tmp_path / "run")
    for name in ("loss", "val_loss"):
        history = client.get_metric_history(found.info.run_id, name)
        by_epoch = {metric.step: metric.value for metric in history}
        assert by_epoch == {i: float(written[4 * (i + 1)][name]) for i in (0, 1, 2)}


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("run.callbacks = [@no_callback]", "Callback objects"),
        ("run.callbacks = [@Recorder()]", "Remove the"),
        ("run.callbacks = @Recorder", "must be a list"),
    ],
)
def test_what_is_no_callback_is_said(small_recipe, tmp_path, binding, said):
    with pytest.raises(RecipeError, match=said):
        train(small_recipe(binding), tmp_path)


def test_callbacks_of_several_workers_are_refused(small_recipe, tmp_path):
    with pytest.raises(RecipeError, match="in one process"):
        train(
            small_recipe("run.callbacks = [@Recorder]", "run.strategy = 'multi_worker'"), tmp_path
        )


def test_hyperparameters_are_written_once_a_run(small_recipe, tmp_path, training_alone):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams import plugin_data_pb2

    params = small_recipe("log.tensorboard = True", "train.steps = 2")
    for _ in range(2):
        assert train(params, tmp_path) == 0
    found = []
    for path in (tmp_path / "events").iterdir():
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    data = plugin_data_pb2.HParamsPluginData.FromString(
                        value.metadata.plugin_data.content
                    )
                    if data.HasField("session_start_info"):
                        found.append(data.session_start_info.hparams)
    assert len(found) == 1
    assert found[0]["MAML.inner_rate"].number_value == 0.01
    assert found[0]["train.steps"].number_value == 2
    assert found[0]["train.learner"].string_value == "@MAML"
