"""A run of reinforcement learning: the same machinery, files and resumption."""

import json

import numpy as np
import pytest

import tfmeta
from tests.runs.finished_runs import losses, tensors
from tfmeta.runs import recipe, train
from tfmeta.runs.building import operation_errors
from tfmeta.runs.recipe import RunError

SMALL = (
    "gaussian_mlp.hidden = (6,)",
    "Navigation.horizon = 5",
    "environment_tasks.shots = 4",
    "TRPO.cg_steps = 2",
    "PolicyMAML.test_inner_steps = 1",
    "train.tasks_per_step = 3",
    "train.steps = 4",
    "log.checkpoint_every = 1",
    "log.tensorboard = False",
    "evaluate.tasks = 4",
    "evaluate.tasks_per_batch = 4",
    "run.deterministic = False",
)


def small_recipe(*params):
    return recipe.read_recipe(["rl_navigation_maml.gin"], [*SMALL, *params])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The work directory of a run that was left alone."""
    workdir = tmp_path_factory.mktemp("policies") / "run"
    train(small_recipe(), workdir)
    return workdir


@pytest.mark.slow
def test_a_run_leaves_returns_pictures_and_an_export(whole):
    names = {str(path.relative_to(whole)) for path in whole.rglob("*")}
    assert {"evaluation.png", "paths.png", "learning_curve.png"} <= names
    assert "export/1/saved_model.pb" in names
    report = json.loads((whole / "evaluation.json").read_text())
    assert report["protocol"]["shots"] == 4
    assert len(report["results"]["running"]["return"]["mean"]) == 2


@pytest.mark.slow  # as the simulated one after it, with TRPO outside
def test_an_interrupted_run_ends_with_the_same_bits(whole, tmp_path):
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfmeta.runs.training.Training.advance", _killed_after(2))
        with pytest.raises(KeyboardInterrupt):
            train(small_recipe("export.enabled = False"), workdir)
    train(small_recipe("export.enabled = False"), workdir)
    assert losses(workdir) == losses(whole)
    expected, found = tensors(whole, 4), tensors(workdir, 4)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.slow
def test_a_run_that_gymnasium_simulates_goes_on_with_the_same_bits_on_other_processes(
    tmp_path, monkeypatch
):
    pytest.importorskip("mujoco", reason="needs the extra [rl]")
    simulated = recipe.read_recipe(
        ["rl_cheetah_direction_maml.gin"],
        [
            *(line for line in SMALL if not line.startswith(("Navigation", "TRPO"))),
            "HalfCheetahDirection.horizon = 4",
            "PolicyMAML.outer = @PolicyGradient()",
            "PolicyMAML.test_inner_steps = 0",
            "train.steps = 2",
            "export.enabled = False",
        ],
    )
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    train(simulated, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("tfmeta.runs.training.Training.advance", _killed_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(simulated, tmp_path / "run")
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    train(simulated, tmp_path / "run")
    expected, found = tensors(tmp_path / "whole", 2), tensors(tmp_path / "run", 2)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def _killed_after(step):
    from tfmeta.runs.training import Training

    advance = Training.advance

    def advance_or_die(training, steps):
        if training.step >= step:
            raise KeyboardInterrupt
        return advance(training, steps)

    return advance_or_die


def test_a_run_is_restored_as_a_policy(tmp_path, training_alone):
    outer = ("PolicyMAML.outer = @PolicyGradient()", "train.steps = 1")
    asked = [binding for binding in SMALL if not binding.startswith("TRPO")]
    train(recipe.read_recipe(["rl_navigation_maml.gin"], [*asked, *outer]), tmp_path)
    learner = tfmeta.restore(tmp_path)
    assert type(learner).__name__ == "PolicyMAML"
    saved = tensors(tmp_path, 1)
    first = next(value for name, value in saved.items() if name.startswith("parameters/0"))
    np.testing.assert_array_equal(learner.parameter_variables[0], first)


def test_a_simulation_that_fails_ends_a_run_in_its_own_words():
    pytest.importorskip("gymnasium", reason="needs the extra [rl]")
    from tests.rl.line_worlds import BrokenWorld
    from tests.rl.test_gymnasium_environment import Lines, batch, draw

    broken = Lines(world=BrokenWorld)
    with pytest.raises(RunError, match="the line is torn") as caught, operation_errors():
        draw(broken, *batch(broken))
    assert str(caught.value).count("the line is torn") == 2  # the line of code, and the message
