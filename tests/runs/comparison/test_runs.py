"""Runs are read as rows of a comparison, with what they differ in from their recipe."""

from pathlib import Path

import pytest

import tfmeta
from tests.runs.comparison.conftest import CONFIG, RESULTS
from tfmeta.runs import recipe
from tfmeta.runs.comparison import run_rows
from tfmeta.runs.comparison.runs import METHODS

ROOT = Path(__file__).parents[3]


def test_a_run_is_a_row_with_its_protocol_after_the_last_step(make_run):
    (row,) = run_rows([make_run()])
    assert row.task == ("omniglot", 5, 1, "accuracy")
    assert (row.method, row.normalization, row.published) == ("MAML", "transductive", False)
    assert (row.value, row.interval95) == pytest.approx((97.5, 0.6))
    numbers = (row.test_tasks, row.queries, row.inner_steps, row.filters, row.steps)
    assert numbers == (600, 1, 3, 64, 60000)
    assert row.remarks == ()


def test_each_normalisation_and_each_number_of_shots_is_a_row(make_run):
    both = {**RESULTS, "inductive": RESULTS["transductive"]}
    run = make_run(results=both)
    make_run(file="evaluation_5shot.json", shots=5)
    rows = run_rows([run])
    found = [(row.shots, row.normalization) for row in rows]
    assert sorted(found) == [(1, "inductive"), (1, "transductive"), (5, "transductive")]


@pytest.mark.parametrize(
    ("learner", "binding", "network", "method"),
    [
        ("MAML", "MAML.first_order = True", "conv4", "first-order MAML"),
        ("MAML", "MAML.adapted = 'head/*'", "conv4", "ANIL"),
        ("MAML", "", "nonconv", "MAML, no conv"),
        ("MetaSGD", "", "conv4", "Meta-SGD"),
        ("MAMLPlusPlus", "", "conv4", "MAML++"),
        ("MTNet", "", "conv4", "MT-net"),
        ("MAML", "", "t_net_mlp", "T-net"),
        ("PrototypicalNetwork", "", "conv4", "prototypical network"),
        ("FineTuning", "FineTuning.adapted = 'head/*'", "conv4", "fine-tuning, head only"),
        ("OneOfYours", "", "conv4", "OneOfYours"),
    ],
)
def test_a_method_has_the_name_it_has_in_the_papers_tables(
    make_run, learner, binding, network, method
):
    run = make_run(config=CONFIG + binding, learner=learner, network=network)
    assert run_rows([run])[0].method == method


def test_every_learner_has_a_name():
    made_by_a_function = {"head_learner"}  # one of the learners below
    learners = {*tfmeta.learners.__all__, "PolicyMAML"} - {"MetaLearner"} - made_by_a_function
    assert set(METHODS) == learners


def test_a_run_that_was_cut_short_or_changed_says_so(make_run):
    text = (recipe.recipe_folder() / "learners" / "maml.gin").read_text()
    run = make_run(config=CONFIG + text, step=742, recipe="omniglot_5way_1shot_maml")
    remarks = run_rows([run])[0].remarks
    assert remarks[0] == "step 742 of the run's 60,000"
    assert "recipe's MAML.inner_rate: 2.0 -> not set" in remarks


def test_tasks_that_the_title_does_not_say_are_named(make_run):
    run = make_run(split="validation", ways=5, least_ways=2, shots=3, least_shots=1)
    remarks = ("tasks of the validation split", "2 to 5 ways", "1 to 3 shots")
    assert run_rows([run])[0].remarks == remarks
    assert run_rows([make_run("other", split="test", shots=3, least_shots=3)])[0].remarks == ()


def test_kept_results_are_found_in_a_folder_of_runs():
    rows = run_rows([ROOT / "results"])
    assert {"MAML", "first-order MAML", "Reptile"} <= {row.method for row in rows}
    reptile = next(row for row in rows if row.method == "Reptile")
    assert "recipe's train.steps: 100000 -> 20000" in reptile.remarks


def test_runs_are_found_at_any_depth_once_and_by_any_evaluation(make_run, tmp_path):
    make_run("a")
    make_run("a/seed1", train_seed=1)
    make_run("b/c/d", file="evaluation-shots=3,inner_steps=2.json", shots=3, inner_steps=2)
    make_run("a/checkpoints/x")
    make_run(".hidden/y")
    (tmp_path / "b" / "up").symlink_to(tmp_path)  # a circle
    rows = run_rows([tmp_path, tmp_path / "a", tmp_path / "b"])
    assert [(Path(row.source).name, row.seed, row.shots) for row in rows] == [
        ("a", 0, 1),
        ("seed1", 1, 1),
        ("d", 0, 3),
    ]
    assert rows[-1].remarks == ("not the recipe's protocol: shots=3, inner_steps=2",)


@pytest.mark.parametrize(
    ("network", "known", "modes"),
    [
        ("mlp", {}, ["none"]),
        ("anything", {"batch_statistics": False}, ["none"]),
        ("mlp", {"batch_statistics": True}, ["transductive", "inductive"]),
        ("conv4", {}, ["transductive", "inductive"]),
    ],
)
def test_statistics_are_named_only_where_the_network_takes_some(make_run, network, known, modes):
    both = {**RESULTS, "inductive": RESULTS["transductive"]}
    rows = run_rows([make_run(results=both, network=network, **known)])
    assert [row.normalization for row in rows] == modes


def test_a_regression_is_compared_by_its_error(make_run):
    results = {"transductive": {"mean_squared_error": {"mean": [3.0, 0.5], "interval95": [1, 0.1]}}}
    protocol = {"name": "sinusoid", "ways": None, "network": "mlp"}
    (row,) = run_rows([make_run(results=results, **protocol)])
    assert (row.metric, row.value, row.filters) == ("mean_squared_error", 0.5, None)


def test_a_folder_without_runs_and_a_broken_evaluation_are_named(make_run, tmp_path):
    with pytest.raises(recipe.RecipeError, match=r"which has none. `python -m tfmeta.evaluate"):
        run_rows([tmp_path])
    run = make_run()
    (run / "evaluation.json").write_text("{}")
    with pytest.raises(recipe.RecipeError, match=r"evaluation.json: KeyError\('protocol'\)"):
        run_rows([run])
