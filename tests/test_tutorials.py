"""The tutorials run, and their notebooks are made of them."""

import json
import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("*.py"))
SHORTER = {"STEPS": 2, "TASKS": 4}
# Of the run that a tutorial starts by a command: few tasks, and no export, which it does not read.
RUN, SMALL_RUN = (
    '"--workdir=runs/sinusoid")',
    '"--workdir=runs/sinusoid", "--gin_param=evaluate.tasks = 4", '
    '"--gin_param=export.enabled = False")',
)
QUICK = ("01_maml_by_hand",)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem)
        for path in SCRIPTS
    ],
)
def test_a_tutorial_runs(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    source = script.read_text(encoding="utf-8")
    for name, value in SHORTER.items():
        source = re.sub(rf"^{name} = \d+$", f"{name} = {value}", source, flags=re.M)
    source = source.replace(RUN, SMALL_RUN)
    trains = re.search(r"\.fit\(|\.train\(", source)
    assert "STEPS = 2" in source or not trains, "A tutorial that trains has its length in STEPS."
    exec(compile(source, script.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_has_the_cells_of_its_script_and_no_error(script):
    jupytext = pytest.importorskip("jupytext", reason="The extra docs is not installed.")
    cells = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    made = [(cell.cell_type, cell.source) for cell in jupytext.read(script).cells]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == made
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert outputs
    assert "/tmp" not in json.dumps(outputs), "a path of the machine that ran the notebook"
    assert not [output for output in outputs if output["output_type"] == "error"]
