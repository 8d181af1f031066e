"""A run in one process: what it writes, refuses, and how it stops."""

import contextlib
import io
import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.runs.finished_runs import tensors
from tfmeta.learners.keras_model import execution
from tfmeta.runs import building, evaluate, evaluating, export, opened, recipe, restore, train
from tfmeta.runs.metrics_log import read_rows
from tfmeta.runs.recipe import RecipeError, config
from tfmeta.saved_model import read_description
from tfmeta.tasks import TaskStream

# Of the tasks of each split; `small_recipe` leaves them as they are.
SEEDS = {"train": 0, "validation": 2_000_003, "test": 1_000_003}
SHOTS = {"validation": 10, "test": 5}
WRITING = ("log.tensorboard = True", "log.keep = 2")


class FinishedRun(NamedTuple):
    """A run: its work directory, (split, seed) of each stream that it read, what it printed."""

    workdir: Path
    code: int
    read: list
    out: str
    err: str


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, small_recipe):
    """A small run with all that it writes, to its end."""
    workdir, read = tmp_path_factory.mktemp("finished") / "run", []
    out, err = io.StringIO(), io.StringIO()

    def recording(method):
        def recorded(stream, *arguments, **options):
            read.append((stream.info["split"], stream.info["seed"]))
            return method(stream, *arguments, **options)

        return recorded

    with pytest.MonkeyPatch.context() as patch:
        for name in ("batch", "batch_parts", "sample", "take"):
            patch.setattr(TaskStream, name, recording(getattr(TaskStream, name)))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = train(small_recipe(*WRITING), workdir)
    return FinishedRun(workdir, code, read, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def finished(finished_run):
    """The work directory of a small run, for tests that only read it."""
    return finished_run.workdir


def tasks_of(workdir, name):
    return json.loads((workdir / name).read_text())["protocol"]["tasks"]


def test_a_run_leaves_the_files_of_the_design(finished_run):
    workdir = finished_run.workdir
    assert finished_run.code == 0
    names = {str(path.relative_to(workdir)) for path in workdir.rglob("*")}
    wanted = {"config.gin", "run.json", "metrics.csv", "evaluation.json", "evaluation.png"}
    wanted |= {"learning_curve.png", "adaptation.png", "events"}
    wanted |= {"checkpoints/step_000000008", "checkpoints/step_000000012"}
    assert wanted <= names
    assert "checkpoints/step_000000004" not in names
    record = json.loads((workdir / "run.json").read_text())
    assert record["seed"] == 0
    assert {"versions", "machine", "threads", "onednn", "deterministic", "choices"} <= set(record)
    assert record["choices"]["parallel"] == "vectorized"
    assert record["choices"]["jit_compile"] is False
    rows = read_rows(workdir / "metrics.csv")
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    assert list(rows[0]) == ["step", "loss", "tasks_per_second", "seconds", "val_loss"]
    assert [row["val_loss"] == "" for row in rows] == [True, True, False]
    assert f"Everything is in {workdir}" in finished_run.out
    assert "step 12/12, loss" in finished_run.err
    assert "tasks/s" in finished_run.err


def test_training_validation_and_evaluation_read_their_own_split_and_seed(finished_run):
    workdir = finished_run.workdir
    assert set(finished_run.read) == set(SEEDS.items())
    learner = restore(workdir)
    for split, found in (
        ("validation", float(read_rows(workdir / "metrics.csv")[-1]["val_loss"])),
        ("test", result_of(workdir)),
    ):
        tasks = tfmeta.tasks.sinusoid(split, SHOTS[split], seed=SEEDS[split], count=4).batch(4)
        assert found == pytest.approx(learner.evaluate(tasks, verbose=0), rel=1e-3)


def result_of(workdir):
    """The mean squared error after the last inner step."""
    report = json.loads((workdir / "evaluation.json").read_text())
    return report["results"]["transductive"]["mean_squared_error"]["mean"][-1]


def test_a_finished_run_is_not_trained_again(
    finished, small_recipe, tmp_path, no_pictures_of_tasks
):
    workdir = Path(shutil.copytree(finished, tmp_path / "run"))
    before = (workdir / "metrics.csv").read_text()
    train(small_recipe(*WRITING, "evaluate.tasks = 6"), workdir)
    assert (workdir / "metrics.csv").read_text() == before
    assert tasks_of(workdir, "evaluation.json") == 6
    assert tasks_of(workdir, "evaluation-tasks=4.json") == 4


def test_another_recipe_in_the_same_directory_is_refused_with_the_difference(
    finished, small_recipe
):
    workdir = finished
    kept = (workdir / "config.gin").read_text()
    with pytest.raises(RecipeError) as error:
        train(small_recipe("MAML.inner_rate = 0.5", "train.seed = 3"), workdir)
    assert "MAML.inner_rate: 0.01 -> 0.5" in str(error.value)
    assert "train.seed: 0 -> 3" in str(error.value)
    assert (workdir / "config.gin").read_text() == kept


def test_a_loss_that_is_not_finite_stops_the_run_with_step_checkpoint_and_advice(
    small_run, tmp_path
):
    # Rates that make the loss overflow after a few steps.
    with pytest.raises(RecipeError) as error:
        small_run("Adam.learning_rate = 1e30", "log.checkpoint_every = 1", "log.every = 1")
    assert "at step 2" in str(error.value)
    assert "checkpoint of step 1" in str(error.value)
    assert "Lower the inner rate" in str(error.value)
    # What was saved is good.
    learner = restore(tmp_path / "run", "last")
    assert all(np.isfinite(v.numpy()).all() for v in learner.parameter_variables)


def test_a_recipe_whose_objects_refuse_is_said_in_words(small_run):
    with pytest.raises(RecipeError, match=r"adapted.*no_such"):
        small_run("MAML.adapted = 'no_such_*'")


def test_a_data_set_that_is_no_stream_of_tasks_is_refused_in_words(tmp_path):
    (tmp_path / "tasks_for_a_test.py").write_text(
        "import gin\nimport tensorflow as tf\n\n"
        "@gin.configurable\ndef own_tasks(**options):\n    return tf.data.Dataset.range(3)\n"
    )
    (tmp_path / "own.gin").write_text(
        "import tasks_for_a_test\ninclude 'sinusoid_maml.gin'\ntrain.stream = @own_tasks\n"
    )
    with (
        config.configured(recipe.read_recipe([tmp_path / "own.gin"])) as settings,
        pytest.raises(RecipeError, match=r"TaskStream.*Received: _RangeDataset"),
    ):
        building.train_stream(settings)


def test_a_value_that_a_recipe_lacks_is_named_with_its_binding():
    with (
        config.configured(recipe.read_recipe(["images_5way_1shot_maml.gin"])) as settings,
        pytest.raises(RecipeError, match=r"needs path.*\"from_directory\.path = \.\.\.\""),
    ):
        building.train_stream(settings)


def test_large_tasks_are_computed_each_by_itself_and_a_run_goes_on_with_it(
    small_run, small_recipe, monkeypatch, training_alone
):
    monkeypatch.setattr(execution, "LARGE", 1)
    workdir, _ = small_run()
    choices = json.loads((workdir / "run.json").read_text())["choices"]
    assert choices["parallel"] == "sequential"
    assert choices["reason"] == "its tasks are large"
    with opened(workdir) as run:  # evaluation follows the recipe, in every session
        assert run.learner.parallel == "auto"
    whole = tensors(workdir, 12)
    for step in (8, 12):
        shutil.rmtree(workdir / "checkpoints" / f"step_{step:09d}")
    train(small_recipe(), workdir)
    again = tensors(workdir, 12)
    for name, value in whole.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)


def test_the_best_checkpoint_is_kept_and_used(small_run, no_pictures_of_tasks):
    workdir, _ = small_run(
        "validate.every = 4", "validate.tasks = 4", "evaluate.checkpoint = 'best'", "log.keep = 1"
    )
    best = json.loads((workdir / "checkpoints" / "best.json").read_text())
    validated = {row["step"]: float(row["val_loss"]) for row in read_rows(workdir / "metrics.csv")}
    assert list(validated) == ["4", "8", "12"]
    assert (validated[str(best["step"])], best["value"]) == (min(validated.values()),) * 2
    assert best["metric"] == "mean_squared_error"
    assert (workdir / "checkpoints" / f"step_{best['step']:09d}").is_dir()
    protocol = json.loads((workdir / "evaluation.json").read_text())["protocol"]
    assert (protocol["checkpoint"], protocol["step"]) == ("best", best["step"])


def test_a_run_shorter_than_its_validations_is_validated_at_its_end(small_run, training_alone):
    workdir, _ = small_run(
        "validate.every = 500", "validate.tasks = 4", "evaluate.checkpoint = 'best'"
    )
    assert json.loads((workdir / "checkpoints" / "best.json").read_text())["step"] == 12


def test_restore_gives_the_learner_with_its_weights(finished):
    learner = restore(finished)
    assert isinstance(learner, tfmeta.MAML)
    with opened(finished) as run:
        assert run.step == 12
        for a, b in zip(learner.parameter_variables, run.learner.parameter_variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1, count=4).batch(2)
    assert math.isfinite(learner.evaluate(stream, verbose=0))
    assert learner.optimizer.iterations.numpy() == 12


def test_a_directory_without_a_run_cannot_be_restored(tmp_path):
    with pytest.raises(ValueError, match=r"config\.gin"):
        restore(tmp_path)


def test_evaluating_again_gives_the_same_numbers(finished, capsys, no_pictures_of_tasks):
    first = (finished / "evaluation.json").read_text()
    evaluate(finished)
    assert (finished / "evaluation.json").read_text() == first
    assert "mean_squared_error" in capsys.readouterr().out


def test_another_protocol_is_written_beside_the_recipes_result(finished, tmp_path, monkeypatch):
    # Which pictures there are is looked at, and no picture.
    monkeypatch.setitem(
        evaluating._DRAWN, "sinusoid", (lambda _, path, __: path.touch(), "adaptation")
    )
    workdir = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in workdir.iterdir() if path.is_file()}
    evaluate(workdir, ["evaluate.shots = (3,)", "evaluate.inner_steps = 2"])  # the recipe's steps
    evaluate(workdir, ["evaluate.shots = (5, 3)", "evaluate.inner_steps = 1"])
    evaluate(workdir, ["evaluate.tasks_per_batch = 3", "evaluate.tasks = 4"])
    after = {path.name: path.read_bytes() for path in workdir.iterdir() if path.is_file()}
    named = ("shots=3", "inner_steps=1", "shots=3,inner_steps=1")
    assert sorted(set(after) - set(before)) == sorted(
        f"{kind}-{name}.{ending}"
        for name in named
        for kind, ending in (("evaluation", "json"), ("evaluation", "png"), ("adaptation", "png"))
        if (kind, name) != ("adaptation", "shots=3,inner_steps=1")
    )
    changed = {name for name in before if before[name] != after[name]}
    # Two sizes of batches differ by float32 noise.
    assert changed <= {"evaluation.json", "evaluation.png", "adaptation.png", ".lock"}
    ours, theirs = (json.loads(each["evaluation.json"]) for each in (before, after))
    assert ours["protocol"] == theirs["protocol"]
    means = [
        each["results"]["transductive"]["mean_squared_error"]["mean"] for each in (ours, theirs)
    ]
    np.testing.assert_allclose(*means, rtol=1e-5)
    # A later step of the same protocol moves the earlier result.
    report = ours | {"protocol": ours["protocol"] | {"step": 8}}
    (workdir / "evaluation.json").write_text(json.dumps(report))
    evaluate(workdir)
    assert json.loads((workdir / "evaluation-step=8.json").read_text()) == report
    assert (workdir / "evaluation-step=8.png").exists()
    assert tasks_of(workdir, "evaluation.json") == 4


def test_evaluation_may_not_change_what_was_trained(finished):
    with pytest.raises(RecipeError, match=r"MAML\.inner_rate: 0\.01 -> 0\.2"):
        evaluate(finished, ["MAML.inner_rate = 0.2"])


def test_an_export_of_a_run_answers_as_the_learner(finished, tmp_path):
    directory = export(finished, tmp_path / "exported")
    assert directory == tmp_path / "exported" / "1"
    assert read_description(directory)["preprocessing"] == {}  # a regression has no pictures
    served = tf.saved_model.load(str(directory)).signatures["adapt_and_predict"]
    stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1, count=1).batch(1)
    (support_x, support_y, query_x), _ = next(iter(stream))
    answers = served(
        support_inputs=support_x[0], support_targets=support_y[0], query_inputs=query_x[0]
    )
    expected = restore(finished).predict((support_x, support_y, query_x), verbose=0)
    # Two graphs of one float32 function.
    np.testing.assert_allclose(answers["predictions"], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("gin_file", "params"),
    [
        (
            "glyphs_5way_1shot_maml.gin",
            [
                "conv4.filters = 4",
                "MAML.test_inner_steps = 1",
                "evaluate.normalizations = ('transductive',)",
            ],
        ),
        pytest.param(
            "omniglot_5way_1shot_reptile.gin",
            [
                "steps = 2",
                "train.stream = @train/glyphs",
                "train/glyphs.shots = 10",
                "train/glyphs.queries = 0",
                "evaluate.stream = @glyphs",
                "glyphs.queries = 1",
                "Reptile.network = @nonconv()",  # the recipe before it has the convolutions
                "nonconv.hidden = (8,)",
                "Reptile.inner_steps = 2",
                "Reptile.test_inner_steps = 2",
                "evaluate.normalizations = ('inductive',)",
            ],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "sinusoid_metasgd.gin",
            ["mlp.hidden = (8,)", "MetaSGD.test_inner_steps = 2", "evaluate.shots = (5,)"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "sinusoid_imaml.gin",
            ["mlp.hidden = (8,)", "IMAML.inner_steps = 2", "evaluate.shots = (5,)"],
            marks=pytest.mark.product,
        ),
    ],
)
def test_one_recipe_of_each_family_runs_two_steps(tmp_path, gin_file, params, no_pictures_of_tasks):
    small = [
        "train.tasks_per_step = 2",
        "validate.tasks = 2",
        "evaluate.tasks = 2",
        "evaluate.tasks_per_batch = 2",
        "log.tensorboard = False",
        "export.enabled = False",
        "run.deterministic = False",
    ]
    small += [] if "reptile" in gin_file else ["train.steps = 2"]
    asked = recipe.read_recipe([gin_file], [*params, *small])
    assert train(asked, tmp_path / "run") == 0
    report = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert report["schema_version"] == 1
    assert (tmp_path / "run" / "checkpoints" / "step_000000002").is_dir()


def test_tasks_that_do_not_fit_the_network_are_said_in_words(tmp_path):
    params = ["MAML.network = @nonconv()", "nonconv.ways = 3", "nonconv.hidden = (8,)"]
    params += ["train.tasks_per_step = 2"]
    asked = recipe.read_recipe(
        ["glyphs_5way_1shot_maml.gin"], [*params, "run.deterministic = False"]
    )
    with pytest.raises(RecipeError, match=r"Tasks must be what the network .* 3"):
        train(asked, tmp_path / "run")


def test_threads_are_the_recipes_unless_it_is_too_late_or_the_environment_has_some(
    monkeypatch, caplog
):
    before = tf.config.threading.get_intra_op_parallelism_threads()
    tf.constant(0) + 1  # TensorFlow has computed
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    building.set_threads(before + 1)
    building.set_threads(None)
    assert not caplog.messages
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    building.set_threads(before + 1)
    assert "run.intra_op_threads" in caplog.text
    assert tf.config.threading.get_intra_op_parallelism_threads() == before


def test_a_run_begun_with_other_threads_goes_on_only_when_told_to(
    finished, small_recipe, tmp_path, monkeypatch, training_alone
):
    workdir = Path(shutil.copytree(finished, tmp_path / "run"))
    # As if it had been killed after the second checkpoint, on a machine with other threads.
    shutil.rmtree(workdir / "checkpoints" / "step_000000012")
    written = json.loads((workdir / "run.json").read_text())
    written["threads"]["intra_op"] += 1
    written["deterministic"] = True
    (workdir / "run.json").write_text(json.dumps(written))
    # Determinism itself would stay on for the other tests of this process.
    monkeypatch.setattr(building, "set_determinism", lambda wanted: True)
    with pytest.raises(RecipeError, match="intra-op threads"):
        train(small_recipe(*WRITING), workdir)
    assert train(small_recipe(*WRITING), workdir, continue_anyway=True) == 0
    steps = [row["step"] for row in read_rows(workdir / "metrics.csv")]
    assert steps == ["4", "8", "12"]
