"""A recipe imports a learner from a file outside the library, and gets everything a run gives."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.runs.finished_runs import end_with_the_last_step, tensors
from tfmeta.runs import recipe, restore, train
from tfmeta.saved_model import ExportedModel

FOLDER = Path(__file__).parent / "own_recipe"
# The tests of a process must not switch determinism on for each other.
IN_PROCESS = ("run.deterministic = False",)
TRAINING_ALONE = ("export.enabled = False", "train.steps = 4")


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A directory outside the library, with a recipe and the module that it imports."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(workdir, *bindings):
    return train(recipe.read_recipe(["half_maml.gin"], [*IN_PROCESS, *bindings]), workdir)


def remove_checkpoints_after(workdir, step):
    for path in (workdir / "checkpoints").glob("step_*"):
        if int(path.name.removeprefix("step_")) > step:
            shutil.rmtree(path)


def assert_equal_bits(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.mark.parametrize(
    "bindings",
    [
        pytest.param(TRAINING_ALONE, id="trained"),
        pytest.param((), id="trained, evaluated and exported", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_trained_evaluated_resumed_and_exported(own_folder, bindings, monkeypatch):
    workdir = own_folder / "run"
    with monkeypatch.context() as patch:
        end_with_the_last_step(patch)
        assert run(workdir, *bindings) == 0
    last = 4 if bindings else 6
    whole = tensors(workdir, last)
    remove_checkpoints_after(workdir, 2)
    assert run(workdir, *bindings) == 0
    assert_equal_bits(whole, tensors(workdir, last))

    learner = restore(workdir)
    assert type(learner) is importlib.import_module("half_maml").HalfMAML
    assert learner.get_config()["factor"] == 0.25
    report = json.loads((workdir / "evaluation.json").read_text())
    assert report["protocol"]["learner"] == "HalfMAML"
    if not bindings:
        exported = ExportedModel(workdir / "export")
        support_x = np.linspace(-2, 2, 5, dtype="float32").reshape(5, 1)
        answer = exported(
            "adapt_and_predict",
            support_inputs=support_x,
            support_targets=np.sin(support_x),
            query_inputs=support_x,
        )
        own = learner.predict_on_batch(
            (support_x[np.newaxis], np.sin(support_x)[np.newaxis], support_x[np.newaxis])
        )
        np.testing.assert_allclose(answer["predictions"], own[0], rtol=1e-5, atol=1e-6)
