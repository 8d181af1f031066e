"""The commands as processes: what a person reads, and exit codes."""

import json
import os
import subprocess
import sys

import pytest

from tfmeta import recipe


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )


def test_help_lists_the_recipes():
    done = run("tfmeta.train", "--help")
    assert "--gin_file" in done.stdout
    assert all(name in done.stdout for name in recipe.recipe_names())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tfmeta.train"], "Received: no --gin_file"),
        (["tfmeta.train", "--gin_file=sinusoid_mam.gin"], "Did you mean 'sinusoid_maml.gin'"),
        (["tfmeta.train", "--steps=10"], "--gin_param='train.steps = 10'"),
        (["tfmeta.train", "sinusoid_maml.gin"], "Write --gin_file=sinusoid_maml.gin"),
        (["tfmeta.train", "--gin_file=run.gin", "--gin_param=a.b = /x"], "in quotes"),
        (["tfmeta.evaluate"], "needs the --workdir"),
        (["tfmeta.export", "--workdir=runs/no_such"], "no --export_dir"),
        (["tfmeta.export", "--workdir=a", "--network=b", "--export_dir=c"], "Received: both"),
        (
            ["tfmeta.export", "--network=MobileNetV9", "--export_dir=a"],
            "must be one of keras.applications. Received: 'MobileNetV9'",
        ),
        (
            ["tfmeta.train", "--gin_file=sinusoid_maml.gin", "--gin_param=train.stepz=3"],
            "Did you mean 'steps'",
        ),
        (["tfmeta.evaluate", "--workdir=runs/no_such"], "config.gin"),
        (["tfmeta", "trian"], "Did you mean 'train'"),
        (["tfmeta", "table"], "Received: no --workdirs"),
        (["tfmeta.table", "--workdirs=no_such"], "Received: no_such, which has none"),
        (["tfmeta.presets", "--preset=omniglot_dem"], "Did you mean 'omniglot_demo'"),
        (["tfmeta.presets", "--preset=https://x.org/a.npz"], "needs sha256"),
        (["tfmeta.serve", "--preset=omniglot_dem"], "Did you mean 'omniglot_demo'"),
        (["tfmeta.serve", "--preset=omniglot_demo", "--demo"], "Received: --demo too"),
        (["tfmeta.adapt", "--preset=a", "--export_dir=b", "--support=c", "--query=d"], "both"),
    ],
)
def test_wrong_use_is_said_in_words_and_with_an_exit_code(arguments, said, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode not in (0, -6)
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_presets_are_listed_and_shown():
    listed = run("tfmeta.presets")
    assert "omniglot_demo\n    MAML on omniglot, sha256 " in listed.stdout
    shown = run("tfmeta.presets", "--preset=omniglot_demo")
    assert "## Limits" in shown.stdout


def test_train_from_an_empty_directory_then_evaluate_and_export(tmp_path):
    small = ["train.steps = 2", "mlp.hidden = (8,)", "evaluate.tasks = 4", "evaluate.shots = (5,)"]
    small += ["MAML.test_inner_steps = 2", "validate.tasks = 4"]
    params = [f"--gin_param={binding}" for binding in small]
    trained = run("tfmeta.train", "--gin_file=sinusoid_maml.gin", *params, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    workdir = tmp_path / "runs" / "sinusoid_maml"
    assert (workdir / "export" / "1" / "saved_model.pb").is_file()
    assert "through its signature" in trained.stdout
    assert "Everything is in runs/sinusoid_maml" in trained.stdout
    assert "computes tasks vectorized (no trial for a run of 2 steps)" in trained.stderr
    record = json.loads((workdir / "run.json").read_text())
    assert record["threads"]["intra_op"] == 1  # as the recipe says

    bigger = "--gin_param=evaluate.tasks = 6"
    evaluated = run("tfmeta.evaluate", f"--workdir={workdir}", bigger, cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    for name, tasks in (("evaluation.json", 4), ("evaluation-tasks=6.json", 6)):
        assert json.loads((workdir / name).read_text())["protocol"]["tasks"] == tasks

    target = f"--export_dir={tmp_path / 'out'}"
    exported = run("tfmeta.export", f"--workdir={workdir}", target, cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()
