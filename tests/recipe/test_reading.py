"""Reading recipes: where they are found, what they include, how two of them differ."""

import pytest

from tfmeta import recipe
from tfmeta.recipe import Macro, RecipeError, Reference


def test_a_recipe_is_found_by_its_name_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert recipe.find_recipe("sinusoid_maml.gin").is_file()


def test_a_path_into_the_source_tree_is_found_from_an_empty_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert recipe.find_recipe("gin/sinusoid_maml.gin").name == "sinusoid_maml.gin"


def test_a_file_in_the_working_directory_comes_before_the_installed_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sinusoid_maml.gin").write_text("train.steps = 7\n")
    read = recipe.read_recipe(["sinusoid_maml.gin"])
    assert [(b.key, b.value) for b in read.bindings] == [("train.steps", 7)]


def test_includes_are_looked_for_beside_the_including_file_whatever_the_working_directory(
    monkeypatch, tmp_path
):
    folder = tmp_path / "mine"
    (folder / "layers").mkdir(parents=True)
    (folder / "layers" / "base.gin").write_text("include 'deeper.gin'\ntrain.steps = 1\n")
    (folder / "layers" / "deeper.gin").write_text("train.seed = 3\n")
    (folder / "top.gin").write_text("include 'layers/base.gin'\ntrain.steps = 2\n")
    monkeypatch.chdir(tmp_path)
    read = recipe.read_recipe(["mine/top.gin"])
    assert [b.key for b in read.bindings] == ["train.seed", "train.steps", "train.steps"]
    assert [b.value for b in read.bindings] == [3, 1, 2]


def test_an_include_stands_where_it_is_written_so_that_later_lines_win(tmp_path):
    (tmp_path / "base.gin").write_text("train.steps = 1\n")
    top = tmp_path / "top.gin"
    top.write_text("train.steps = 2\ninclude 'base.gin'\n")
    assert [b.value for b in recipe.read_recipe([str(top)]).bindings] == [2, 1]


def test_bindings_know_the_file_and_line_they_stand_in(tmp_path):
    (tmp_path / "base.gin").write_text("# one\ntrain.seed = 3\n")
    top = tmp_path / "top.gin"
    top.write_text("# one\ninclude 'base.gin'\n\ntrain.steps = 2\n")
    where = [b.where for b in recipe.read_recipe([str(top)]).bindings]
    assert where == [f"{tmp_path / 'base.gin'}:2", f"{top}:4"]


def test_a_recipe_that_includes_itself_is_refused(tmp_path):
    top = tmp_path / "top.gin"
    top.write_text(f"include '{top}'\n")
    with pytest.raises(RecipeError, match="must not include itself"):
        recipe.read_recipe([str(top)])


def test_a_missing_recipe_shows_the_nearest_name_and_lists_all():
    with pytest.raises(RecipeError) as error:
        recipe.read_recipe(["sinusoid_mamal.gin"])
    assert "Did you mean 'sinusoid_maml.gin'" in str(error.value)
    assert all(name in str(error.value) for name in recipe.recipe_names())


@pytest.mark.parametrize(
    "text",
    ["train.steps = ", "train.steps 3", "from_directory.path = /data/x", "train.steps = (1,"],
)
def test_text_that_is_not_gin_is_shown_with_its_place(text):
    with pytest.raises(RecipeError, match="--gin_param"):
        recipe.read_recipe(["run.gin"], [text])


def test_references_and_macros_are_told_apart_from_literals():
    read = recipe.parse_recipe("a.b = [@f, @s/g(), %m, 'x']\n", "text")
    assert list(recipe.iterate_values(read.bindings[0].value)) == [
        Reference("f", False),
        Reference("s/g", True),
        Macro("m"),
        "x",
    ]


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.loss = mse", r"did you mean train\.loss = 'mse'\? Write @mse"),
        ("train.metrics = [accuracy]", r"\['accuracy'\]"),
        ("train.learner = MAML()", r"did you mean train\.learner = @MAML\(\)\?"),
        ("train.loss = keras.losses.Huber", r"'keras\.losses\.Huber'\? Write @Huber"),
        ("run.deterministic = false", r"did you mean False\?"),
    ],
)
def test_a_word_without_quotes_gets_what_it_may_stand_for(text, said):
    with pytest.raises(RecipeError, match=said) as error:
        recipe.parse_recipe(text, "--gin_param")
    assert "ast." not in str(error.value)
