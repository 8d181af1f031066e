"""What is said of a flag that a command lacks."""

import re

import pytest

from tfmeta.commands import unknown_flags
from tfmeta.runs import recipe
from tfmeta.runs.recipe import config

TRAIN = ["gin_file", "gin_param", "workdir", "continue_anyway"]
SINUSOID = "--gin_file=sinusoid_maml.gin"


def bindings(message):
    """The bindings that a message proposes."""
    return re.findall(r"--gin_param=(?:'([^']*)'|\"([^\"]*)\")", message)


@pytest.mark.parametrize(
    ("name", "arguments", "proposed"),
    [
        ("steps", ["--steps=10"], "train.steps = 10"),
        ("steps", ["--steps", "10"], "train.steps = 10"),
        ("lr", [SINUSOID, "--lr=1e-4"], "Adam.learning_rate = 1e-4"),
        ("inner_rate", [SINUSOID, "--inner_rate=0.1"], "MAML.inner_rate = 0.1"),
        ("shots", ["--gin_file", "glyphs_5way_1shot_maml.gin", "--shots=5"], "shots = 5"),
        ("batch_size", ["--batch_size=8"], "train.tasks_per_step = 8"),
        ("deterministic", ["--deterministic"], "run.deterministic = True"),
        ("checkpoint", ["--checkpoint=best"], "evaluate.checkpoint = 'best'"),
        ("optimizer", ["--optimizer=SGD"], "train.optimizer = @SGD"),
    ],
)
def test_the_binding_that_does_it_is_named_and_is_one(name, arguments, proposed):
    message = unknown_flags.say(name, arguments, TRAIN)
    first = next("".join(pair) for pair in bindings(message))
    assert first == proposed
    files = [one for one in (SINUSOID, "glyphs_5way_1shot_maml.gin") if one in arguments]
    name = files[0].removeprefix("--gin_file=") if files else "sinusoid_maml.gin"
    config.check(recipe.read_recipe([name], [first]))


def test_several_bindings_of_a_name_are_all_named():
    message = unknown_flags.say("tasks", ["--tasks=9"], TRAIN)
    assert ["".join(pair) for pair in bindings(message)] == [
        "evaluate.tasks = 9",
        "validate.tasks = 9",
    ]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("config", TRAIN, "Did you mean --gin_file?"),
        ("workdirr", TRAIN, "Did you mean '--workdir'?"),
        ("steps", ["workdirs", "output"], "must be one that the command has"),
    ],
)
def test_a_flag_that_no_recipe_sets_gets_the_nearest(name, known, said):
    message = unknown_flags.say(name, [f"--{name}=3"], known)
    assert said in message
    assert "gin_param" not in message


def test_a_recipe_that_cannot_be_read_hides_no_answer(tmp_path):
    arguments = [f"--workdir={tmp_path}", "--tasks=9"]
    assert "evaluate.tasks = 9" in unknown_flags.say("tasks", arguments, TRAIN)


def test_the_nearest_recipes_come_first():
    with pytest.raises(recipe.RecipeError) as error:
        recipe.find_recipe("sinusoid_mam")
    listed = str(error.value).split("each of them is: ")[1]
    assert listed.startswith("sinusoid_maml.gin, ")
    assert listed.count(".gin") == len(recipe.recipe_names())
