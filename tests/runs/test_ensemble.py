"""The best checkpoints of a run, kept and answering together."""

import json

import numpy as np
import pytest

import tfmeta
from tfmeta.runs import evaluate, restore
from tfmeta.runs.checkpoints import Checkpoints, state_of
from tfmeta.runs.ensemble import Ensemble
from tfmeta.runs.recipe import RecipeError, RunError

VALIDATED = ("validate.every = 4", "validate.tasks = 4", "log.keep = 1", "log.keep_best = 2")


def marked(checkpoints, metric, values):
    """Checkpoints 1, 2, ... with these values of validation, as a run marks them."""
    for step, value in enumerate(values, start=1):
        checkpoints.path(step).mkdir(parents=True)
        if checkpoints.is_among_best(step, metric, value):
            checkpoints.mark_best(step, metric, value)
    return [each["step"] for each in checkpoints.ranking()]


@pytest.mark.parametrize(
    ("metric", "expected"), [("accuracy", [3, 1, 4]), ("mean_squared_error", [2, 1, 4])]
)
def test_the_best_are_ranked_of_equals_the_earlier(tmp_path, metric, expected):
    checkpoints = Checkpoints(tmp_path, keep=1, keep_best=3)
    assert marked(checkpoints, metric, [0.5, 0.1, 0.9, 0.5, 0.5]) == expected
    assert set(checkpoints.steps()) == {*expected, 5}
    assert checkpoints.best()["step"] == expected[0]


def test_a_checkpoint_that_is_validated_again_is_ranked_once(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_best=3)
    marked(checkpoints, "accuracy", [0.5, 0.9])
    checkpoints.mark_best(1, "accuracy", 0.5)
    assert [each["step"] for each in checkpoints.ranking()] == [2, 1]


def test_an_ensemble_answers_with_the_mean_of_its_members(small_run, no_pictures_of_tasks):
    workdir, _ = small_run(*VALIDATED, "evaluate.ensemble = 2")
    learner, checkpoints = restore(workdir), Checkpoints(workdir / "checkpoints")
    before = [variable.numpy() for variable in learner.parameter_variables]
    ensemble = Ensemble(learner, checkpoints, 2)
    x, _ = next(iter(tfmeta.tasks.sinusoid("test", shots=5, seed=1, count=2).batch(2)))
    outputs, losses = ensemble.adaptation_curve(x, inner_steps=2)
    for variable, value in zip(learner.parameter_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)

    curves = []
    for step in ensemble.steps:
        checkpoints.restore(step, state_of(learner), counters=False)
        curves.append(learner.adaptation_curve(x, inner_steps=2))
    assert np.abs(curves[0][0] - curves[1][0]).max() > 0
    np.testing.assert_allclose(outputs, np.mean([c[0] for c in curves], axis=0), rtol=1e-6)
    np.testing.assert_allclose(losses, np.mean([c[1] for c in curves], axis=0), rtol=1e-6)

    protocol = json.loads((workdir / "evaluation.json").read_text())["protocol"]
    assert protocol["ensemble"] == ensemble.steps
    alone = evaluate(workdir, ["evaluate.ensemble = 1"])[0]
    assert "ensemble" not in alone["protocol"]


def test_an_ensemble_of_more_than_were_kept_says_what_to_set(small_run):
    with pytest.raises(RecipeError, match=r"log\.keep_best = 2, validate\.every = 4\. Set"):
        small_run(*VALIDATED, "evaluate.ensemble = 3")


def test_a_run_with_fewer_checkpoints_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    marked(checkpoints, "accuracy", [0.5])
    with pytest.raises(RunError, match=r"ensemble of 2.*Received: 1 in"):
        Ensemble(None, checkpoints, 2)
