"""Reptile's figure is of whole curves, whatever interrupts them."""

import json
import subprocess
import sys

import pytest

from benchmarks.report import ROOT

# A process of its own: benchmarks have flags of the same names. Its runs are stopped at once.
STOPPED = """
import sys
from absl import app
from benchmarks import gradient_combinations

gradient_combinations.train = lambda recipe, workdir: 0
app.run(gradient_combinations.main, argv=["gradient_combinations", *sys.argv[1:]])
"""


@pytest.mark.parametrize("evaluated", [None, 400], ids=["not_evaluated", "evaluated_as_it_is"])
def test_a_run_that_was_interrupted_stops_the_figure_in_words(evaluated, tmp_path):
    workdir = tmp_path / "gradients_1"
    workdir.mkdir()
    if evaluated:
        document = json.dumps({"protocol": {"step": evaluated}})
        (workdir / "evaluation.json").write_text(document, encoding="utf-8")

    command = [sys.executable, "-c", STOPPED, f"--runs={tmp_path}", "--steps=1000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert f"Stopped in {workdir}. The same command goes on." in done.stderr
    assert "Traceback" not in done.stderr
