"""Finding recipes by name or path."""

import pytest

from tfmeta.runs import recipe
from tfmeta.runs.recipe import RecipeError


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


def test_a_missing_recipe_shows_the_nearest_name_and_lists_all():
    with pytest.raises(RecipeError) as error:
        recipe.read_recipe(["sinusoid_mamal.gin"])
    assert "Did you mean 'sinusoid_maml.gin'" in str(error.value)
    assert all(name in str(error.value) for name in recipe.recipe_names())
