"""A small recipe that the tests of runs share."""

import pytest

from tests.runs.finished_runs import end_with_the_last_step
from tfmeta.runs import evaluating, recipe, sinusoids, train

SMALL = (
    "mlp.hidden = (8,)",
    "MAML.test_inner_steps = 2",
    "train.tasks_per_step = 4",
    "train.steps = 12",
    "log.every = 4",
    "log.checkpoint_every = 4",
    "log.tensorboard = False",
    "validate.tasks = 4",
    "evaluate.tasks = 4",
    "evaluate.tasks_per_batch = 4",
    "evaluate.shots = (5,)",
    "export.enabled = False",
    # The tests of a process must not switch determinism on for each other.
    "run.deterministic = False",
)


@pytest.fixture(scope="session", autouse=True)
def short_pictures():
    """Tracing ten inner steps for a picture takes longer than the rest of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinusoids, "_PICTURE_STEPS", (0, 1, 2))
        yield


@pytest.fixture
def no_pictures_of_tasks(monkeypatch):
    """Adaptation is not drawn: that traces it once more, for other sizes."""
    monkeypatch.delitem(evaluating._DRAWN, "sinusoid")


@pytest.fixture
def training_alone(monkeypatch):
    """Runs end with their last step."""
    end_with_the_last_step(monkeypatch)


@pytest.fixture(scope="session")
def small_recipe():
    """Gives a small sinusoid recipe; more bindings override it."""

    def read(*params):
        return recipe.read_recipe(["sinusoid_maml.gin"], [*SMALL, *params])

    return read


@pytest.fixture
def small_run(tmp_path, small_recipe):
    """Trains the small recipe in `workdir`."""

    def run(*params, workdir=tmp_path / "run"):
        return workdir, train(small_recipe(*params), workdir)

    return run
