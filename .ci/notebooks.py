"""Makes the notebooks of the tutorials: `python .ci/notebooks.py [NAME ...]`.

A tutorial is a script, `docs/tutorials/NN_name.py`, with cells marked by `# %%` as jupytext and
editors have them. This program runs each script as a notebook in an empty directory and writes
`NN_name.ipynb` beside it, with outputs and pictures. The site shows the notebooks.
"""

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
TIMEOUT = 1800  # seconds of a cell
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "ABSL_MIN_LOG_LEVEL": "2"}


def read(script):
    """The notebook of a script, without outputs."""
    notebook = jupytext.read(script)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
    return notebook


def run(notebook):
    """Runs a notebook in an empty directory; its cells get their outputs."""
    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", resources=resources
        ).execute()
    for cell in notebook.cells:
        cell["metadata"] = {}
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if is_kept(output)]
    return notebook


def is_kept(output):
    """Whether a page shows an output: not progress, warnings and TensorFlow's notices."""
    text = "".join(output.get("text", ""))
    return output.get("name") != "stderr" and not text.startswith("INFO:tensorflow:")


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in TUTORIALS.glob("*.py"))
    for name in names:
        print(name, flush=True)
        made = run(read(TUTORIALS / f"{name}.py"))
        nbformat.write(made, TUTORIALS / f"{name}.ipynb")
