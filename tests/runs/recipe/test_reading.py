"""Reading recipes: what they include and bind, and what cannot be read."""

import pytest

from tfmeta.runs import recipe
from tfmeta.runs.recipe import Macro, RecipeError, Reference


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
