"""Reptile's figure is of whole curves, whatever interrupts them."""

import json
import subprocess
import sys

from benchmarks.report import ROOT

# A process of its own: benchmarks have flags of the same names. Its runs are stopped at once.
STOPPED = """
import sys
from absl import app
from benchmarks import gradient_combinations


def run(runs):
    argv = ["gradient_combinations", f"--runs={runs}", "--steps=1000"]
    app.run(gradient_combinations.main, argv=argv)


gradient_combinations.train = lambda recipe, workdir: 0
try:
    run(sys.argv[1])
except SystemExit as stopped:
    print(stopped, file=sys.stderr)
run(sys.argv[2])
"""


def test_a_run_that_was_interrupted_stops_the_figure_in_words(tmp_path):
    workdirs = [tmp_path / name / "gradients_1" for name in ("not_evaluated", "evaluated_early")]
    for workdir in workdirs:
        workdir.mkdir(parents=True)
    document = json.dumps({"protocol": {"step": 400}})
    (workdirs[1] / "evaluation.json").write_text(document, encoding="utf-8")

    command = [sys.executable, "-c", STOPPED, *(str(workdir.parent) for workdir in workdirs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    for workdir in workdirs:
        assert f"Stopped in {workdir}. The same command goes on." in done.stderr
    assert "Traceback" not in done.stderr
