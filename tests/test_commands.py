"""The commands as processes: what a person reads, and exit codes."""

import json
import os
import subprocess
import sys

import pytest

from tfmeta.runs import recipe


def interpreter(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )


def run(*arguments, cwd=None):
    return interpreter("-m", *arguments, cwd=cwd)


# Runs commands, lists of JSON, in one interpreter, since each would load TensorFlow; prints a line
# of JSON for each: its exit code, and what it printed.
IN_TURN = """
import contextlib, io, json, runpy, sys, traceback
from absl import app, flags
import tfmeta.commands

app.define_help_flags()  # those of absl itself stay
for line in sys.argv[1:]:
    module, *arguments = json.loads(line)
    sys.argv, before = [module, *arguments], set(flags.FLAGS)
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}))
"""


def run_in_turn(*commands, cwd):
    done = interpreter("-c", IN_TURN, *map(json.dumps, commands), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


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
    # Adaptation is drawn for one-dimensional sinusoids, in as much time as all else takes.
    small += ["mlp.input_dim = 2", "sinusoid.input_dim = 2"]
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

    evaluated, exported, *wrong = run_in_turn(
        ["tfmeta.evaluate", f"--workdir={workdir}", "--gin_param=evaluate.tasks = 6"],
        ["tfmeta.export", f"--workdir={workdir}", f"--export_dir={tmp_path / 'out'}"],
        ["tfmeta.export", "--network=MobileNetV9", "--export_dir=a"],
        ["tfmeta.train", "--gin_file=sinusoid_maml.gin", "--gin_param=train.stepz=3"],
        cwd=tmp_path,
    )
    assert evaluated["code"] == 0, evaluated["err"]
    for name, tasks in (("evaluation.json", 4), ("evaluation-tasks=6.json", 6)):
        assert json.loads((workdir / name).read_text())["protocol"]["tasks"] == tasks
    assert exported["code"] == 0, exported["err"]
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()

    # Wrong use that only TensorFlow and Keras can tell.
    for found, said in zip(
        wrong,
        (
            "must be one of keras.applications. Received: 'MobileNetV9'",
            "Did you mean 'steps'",
        ),
        strict=True,
    ):
        assert found["code"] not in (None, 0)
        assert said in found["err"] + found["out"]
        assert "Traceback" not in found["err"]
