"""From recipe to settings: names are checked, gin is left as it was."""

import json
import sys

import keras
import pytest

import gin
from tfmeta import learners, networks, tasks
from tfmeta.runs import recipe
from tfmeta.runs.recipe import RecipeError, config
from tfmeta.runs.workdir import WorkDir

RECIPE = "sinusoid_maml.gin"


def settings_of(*params, files=(RECIPE,)):
    with config.configured(recipe.read_recipe(files, params)) as settings:
        return settings


def test_a_recipe_and_its_overrides_become_settings():
    settings = settings_of("train.steps = 123", "evaluate.tasks = 50")
    assert (settings.train.steps, settings.train.tasks_per_step) == (123, 25)
    assert settings.evaluate.tasks == 50
    assert settings.recipe == "sinusoid_maml"


def test_every_public_learner_network_and_stream_can_be_named_in_a_recipe():
    names = config.register()
    assert {"MAML", "Reptile", "IMAML", "MetaSGD"} <= set(names) & set(learners.__all__)
    assert set(networks.__all__) <= set(names)
    assert {"sinusoid", "omniglot", "glyphs"} <= set(names) & set(tasks.__all__)


def test_a_learner_built_by_a_recipe_is_of_the_class_itself():
    with config.configured(recipe.read_recipe([RECIPE])) as settings:
        learner = settings.train.learner()
        optimizer = settings.train.optimizer()
    assert type(learner) is learners.MAML
    assert type(optimizer) is keras.optimizers.Adam
    assert learner.inner_rate == 0.01


@pytest.mark.parametrize(
    ("param", "hint"),
    [
        ("train.stepz = 3", "'steps'"),
        ("trian.steps = 3", "'train'"),
        ("MAML.inner_rat = 3", "'inner_rate'"),
        ("MAML.normalisation = 'running'", "'normalization'"),
        ("MetaSGD.rate_rang = (0, 1)", "'rate_range'"),
        ("SGD.momentun = 0.9", "'momentum'"),
        ("train.learner = @MAMLL", "'MAML'"),
        ("train.steps = %stepz\nsteps = 3", "'steps'"),
        ("evaluate/sinusoid.shot = 3", "'shots'"),
    ],
)
def test_a_misspelt_name_is_an_error_that_shows_the_nearest(param, hint):
    with pytest.raises(RecipeError) as error:
        settings_of(*param.split("\n"))
    assert f"Did you mean {hint}" in str(error.value)
    assert "--gin_param:1" in str(error.value)


def test_a_macro_that_nothing_uses_is_an_error():
    with pytest.raises(RecipeError, match="must use as %shots"):
        settings_of("shots = 3")


@pytest.mark.parametrize(
    ("param", "said"),
    [
        ("train.steps = 0", "train.steps must be an integer >= 1. Received: 0"),
        ("run.intra_op_threads = 0", "run.intra_op_threads must be an integer >= 1. Received: 0"),
        ("train.tasks_per_step = 1.5", "train.tasks_per_step must be an integer"),
        ("evaluate.checkpoint = 'first'", "must be one of 'last', 'best'"),
        ("validate.every = 0", "needs validation"),
        ("run.strategy = 'tpu'", "run.strategy must be one of"),
        ("train.learner = @MAML()", "Remove the \\(\\)"),
        ("import no_such_module", "import must work"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused_in_words(param, said):
    with pytest.raises(RecipeError, match=said):
        settings_of(param)


def test_a_recipe_that_lacks_a_learner_says_so():
    with pytest.raises(RecipeError, match="learner"):
        settings_of(files=("run.gin",))


def test_a_module_of_the_users_may_bring_configurables(monkeypatch, tmp_path):
    (tmp_path / "own_things_for_a_test.py").write_text(
        "import gin\n\n@gin.configurable\ndef own_loss(scale=1.0):\n    return 'mae'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = settings_of(
        "import own_things_for_a_test", "train.loss = @own_loss", "own_loss.scale = 2.0"
    )
    assert settings.train.loss.__name__ == "own_loss"
    with pytest.raises(RecipeError, match="Did you mean 'scale'"):
        settings_of("import own_things_for_a_test", "own_loss.scala = 2.0")


def test_gin_is_afterwards_as_it_was():
    config.register()
    gin.bind_parameter("log.every", 41)
    try:
        with config.configured(recipe.read_recipe([RECIPE])) as settings:
            assert settings.log.every == 500
        assert gin.query_parameter("log.every") == 41
        with pytest.raises(ValueError, match="train"):
            gin.query_parameter("train.steps")
    finally:
        gin.clear_config()


def test_the_configuration_that_is_kept_reads_back_as_the_same_recipe():
    settings = settings_of("train.seed = 5")
    kept = recipe.parse_recipe(settings.config, "config.gin")
    with config.configured(kept) as again:
        assert again.config == settings.config
        assert again.train.seed == 5


@pytest.mark.parametrize(
    "param",
    [
        "evaluate.normalizations = ('batch',)",
        "evaluate.normalizations = 'inductive'",
        "evaluate.normalizations = ()",
        "export.normalization = 'batch'",
        "evaluate.split = 'tset'",
        "validate.split = 'tset'",
        "evaluate.shots = 5",
        "evaluate.inner_steps = -1",
        "train.seed = 'one'",
        "train.seed = 5000000000",
    ],
)
def test_what_would_fail_after_training_is_refused_before(param):
    with pytest.raises(RecipeError, match=f"{param.split(' ')[0]} must be .*Received: "):
        settings_of(param)


def test_a_module_beside_the_recipe_is_found_wherever_the_command_runs(tmp_path, monkeypatch):
    folder = tmp_path / "recipes_of_mine"
    folder.mkdir()
    (folder / "beside_the_recipe.py").write_text(
        "import gin\n\n\n@gin.configurable\ndef beside(x=1):\n    return x\n"
    )
    (folder / "mine.gin").write_text("import beside_the_recipe\nbeside.x = 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mine = recipe.read_recipe([str(folder / "mine.gin")])
    assert mine.folders == (str(folder),)
    config.check(mine)
    assert sys.modules["beside_the_recipe"].__file__ == str(folder / "beside_the_recipe.py")

    # A run tells its folders to whoever opens it from elsewhere.
    run = {"threads": {}, "onednn": True, "recipe_folders": [str(folder)]}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "config.gin").write_text("import beside_the_recipe\n")
    assert WorkDir(tmp_path).recipe().folders == (str(folder),)


def test_recipes_that_come_with_tfmeta_add_no_folder():
    assert recipe.read_recipe(["sinusoid_maml.gin"]).folders == ()
