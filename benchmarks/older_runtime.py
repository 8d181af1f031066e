"""Exports on an older TensorFlow: loaded there, every signature asked, answers and guards compared.

    python3 -m venv older && older/bin/pip install 'tensorflow==2.18.*'
    python -m benchmarks.older_runtime --python=older/bin/python [--write]

The kept exports of `tests/saved_model/kept/` are loaded by a TensorFlow 1 session in a process of
that interpreter, which has no tfmeta. Relative differences are those of the largest output, to what
this version's runtime answered. `--write` stores results/older_runtime.json.
"""

import json
import subprocess
import sys

import numpy as np
from absl import app, flags

from benchmarks import report
from benchmarks.turns import ROOT

sys.path.insert(0, str(ROOT / "tests" / "export"))

import conftest
import kept_exports
import request_pipe

_PYTHON = flags.DEFINE_string("python", None, "Interpreter with the older TensorFlow.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/older_runtime.json.")
flags.mark_flag_as_required("python")


def version() -> str:
    """The older TensorFlow's own version."""
    script = "import tensorflow as tf; print(tf.__version__)"
    done = subprocess.run([_PYTHON.value, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def measure(model) -> dict:
    """One kept export: the largest relative difference by signature, and a broken guard."""
    process = request_pipe.ModelProcess(
        "serve_with_session",
        model / "1",
        conftest.tensor_names(model / "1"),
        python=_PYTHON.value,
    )
    differences = {}
    for signature, (inputs, expected) in kept_exports.answers(model).items():
        answer = process(signature, inputs)
        differences[signature] = max(
            float(np.abs(answer[name] - value).max() / max(np.abs(value).max(), 1e-30))
            for name, value in expected.items()
        )
    request, _ = kept_exports.answers(model)["adapt_and_predict"]
    broken = process("adapt_and_predict", {**request, "query_inputs": request["query_inputs"][0]})
    process.close()
    words = [line for line in broken.message.splitlines() if "query_inputs must" in line]
    return {
        "largest_relative_difference": differences,
        "broken_guard": {"code": broken.code, "words": words[:1]},
    }


def main(_):
    found = {
        "command": "python -m benchmarks.older_runtime --python=older/bin/python --write",
        "older_tensorflow": version(),
        "machine": report.machine(),
        "models": {
            str(model.relative_to(kept_exports.FOLDER)): measure(model)
            for model in kept_exports.MODELS
        },
    }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        (ROOT / "results" / "older_runtime.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
