"""A work directory belongs to the recipe that was trained in it."""

from types import SimpleNamespace

import pytest

from tfmeta.runs import record
from tfmeta.runs.recipe import RecipeError
from tfmeta.runs.workdir import WorkDir


def settings(steps):
    return SimpleNamespace(config=f"train.steps = {steps}\n", recipe="a")


def test_a_recipe_may_be_mended_until_its_run_has_begun(tmp_path):
    place = WorkDir(tmp_path)
    place.claim(settings(3))
    place.claim(settings(4))  # the recipe of steps = 3 could not be built, say
    assert "train.steps = 4" in place.config.read_text()
    (tmp_path / record.NAME).write_text("{}")
    place.claim(settings(4))
    with pytest.raises(RecipeError, match=r"train\.steps: 4 -> 5"):
        place.claim(settings(5))
