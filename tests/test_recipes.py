"""Every recipe that comes with tfmeta."""

import re

import pytest

from tfmeta.runs import building, recipe
from tfmeta.runs.recipe import config

NAMES = recipe.recipe_names()
NEEDS = {"images_5way_1shot_maml.gin": ["from_directory.path = 'images'"]}


def test_there_is_a_recipe_for_each_row_of_the_papers_tables():
    rows = {
        f"omniglot_{ways}way_{shots}shot_{learner}.gin"
        for ways in (5, 20)
        for shots in (1, 5)
        for learner in ("maml", "fomaml", "reptile")
    }
    rows |= {f"omniglot_5way_{shots}shot_maml_nonconv.gin" for shots in (1, 5)}
    rows |= {f"omniglot_5way_1shot_{learner}.gin" for learner in ("maml_plus_plus", "mtnet")}
    rows |= {
        f"rl_{body}_{task}_maml.gin"
        for body in ("cheetah", "ant")
        for task in ("direction", "velocity")
    }
    rows |= {
        f"rl_{task}_{way}.gin"
        for task in ("navigation", "cheetah_direction")
        for way in ("maml", "pretrained", "oracle")
    }
    baselines = ("finetuning", "nearest_neighbor", "matching", "prototypical")
    rows |= {
        f"mini_imagenet_5way_{shots}shot_{learner}.gin"
        for shots in (1, 5)
        for learner in ("maml", "fomaml", "reptile", *baselines)
    }
    assert rows <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_builds_its_learner(name):
    if name.startswith(("rl_ant", "rl_cheetah")):
        pytest.importorskip("mujoco", reason="needs the extra [rl]")
    asked = recipe.read_recipe([name], NEEDS.get(name, ()))
    with config.configured(asked) as settings:
        learner = building.build_learner(settings, building.make_strategy("one_device"))
    assert learner.parameter_variables
    ways = re.search(r"_(\d+)way_", name)
    if ways:
        macros = {binding.key: binding.value for binding in asked.bindings if not binding.argument}
        assert macros["ways"] == int(ways[1])
        # Who trains on more ways than those of the test needs as many outputs.
        assert learner.network.output_shape == (None, macros.get("train_ways", macros["ways"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_which_row_it_is_what_it_reached_and_how_long_it_takes(name):
    lines = (recipe.recipe_folder() / name).read_text().split("\n")
    comment = " ".join(line for line in lines if line.startswith("#"))
    assert re.search(r"Time: |\bminutes\b|\bhours\b", comment)
    assert lines[0].startswith("# ")
    assert len(lines[0]) <= 120


@pytest.mark.parametrize(
    ("name", "rate", "clip"),
    [
        ("omniglot_5way_1shot_maml.gin", 2.0, None),
        ("omniglot_20way_1shot_maml.gin", 2.0, None),
        ("mini_imagenet_5way_1shot_maml.gin", 0.05, 0.133),
        ("mini_imagenet_5way_5shot_fomaml.gin", 0.05, 0.667),
    ],
)
def test_rates_and_clipping_are_those_of_mean_losses(name, rate, clip):
    with config.configured(recipe.read_recipe([name])) as settings:
        learner = settings.train.learner()
    assert (learner.inner_rate, learner.meta_gradient_clip) == (rate, clip)
    assert not any(path.startswith("norm") for path in learner.adapted_paths)


def test_reptile_carries_its_moments_and_ends_with_a_step_of_zero():
    with config.configured(recipe.read_recipe(["omniglot_5way_1shot_reptile.gin"])) as settings:
        learner, optimizer = settings.train.learner(), settings.train.optimizer()
    assert learner.carry_moments
    assert learner.test_inner_steps == 50
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == 1.0
    assert float(schedule(settings.train.steps)) == 0.0
    assert (settings.evaluate.tasks, settings.evaluate.normalizations[0]) == (10_000, "inductive")


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(("omniglot", "mini_imagenet"))]
)
def test_papers_recipes_validate_a_thirtieth_of_their_steps(name):
    with config.configured(recipe.read_recipe([name])) as settings:
        every, tasks = settings.validate.every, settings.validate.tasks
        steps = settings.train.steps
    text = (recipe.recipe_folder() / name).read_text()
    if "omniglot_reptile.gin" in text:
        assert every == 0
        assert "# No validation" in text
    elif "maml_plus_plus" in name:  # as its authors' epochs
        assert (every, tasks) == (500, 600)
    else:
        assert steps / every == pytest.approx(30, rel=0.12)
        assert tasks == 200
