"""How two recipes differ."""

import pytest

from tfmeta.runs import recipe


def _differences(old, new):
    return recipe.differences(recipe.parse_recipe(old, "old"), recipe.parse_recipe(new, "new"))


def test_a_changed_an_added_and_a_removed_binding_are_differences():
    old = "train.steps = 5\nMAML.inner_rate = 0.1\n"
    new = "train.steps = 6\nMAML.inner_steps = 2\n"
    assert _differences(old, new) == [
        "MAML.inner_rate: 0.1 -> not set",
        "MAML.inner_steps: not set -> 2",
        "train.steps: 5 -> 6",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "evaluate.tasks = 5",
        "evaluate/omniglot.queries = 3",
        "export.enabled = False",
        "log.every = 7",
        "validate.every = 10",
    ],
)
def test_evaluation_export_and_logging_may_change(line):
    assert _differences("train.steps = 5\n", f"train.steps = 5\n{line}\n") == []


def test_a_changed_macro_is_a_difference_where_it_is_used_in_training():
    old = "k = 1\nomniglot.shots = %k\nevaluate.tasks = %k\n"
    assert _differences(old, old.replace("k = 1", "k = 2")) == ["omniglot.shots: 1 -> 2"]
    only_evaluation = "k = 1\nevaluate.tasks = %k\n"
    assert _differences(only_evaluation, only_evaluation.replace("1", "2")) == []
