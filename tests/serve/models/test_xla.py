"""What a process that serves loads and disables, asked of one that does nothing else."""

import json
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import tensorflow as tf

def doubled():
    double = tf.function(lambda x: x + x, jit_compile=True)
    try:
        return str(float(double(tf.constant(1.0))))
    except tf.errors.OpError as error:
        return error.message

before = set(sys.modules)
import tfmeta.serve
for name in tfmeta.serve.__all__:
    getattr(tfmeta.serve, name)
imported = doubled()
server = tfmeta.serve.start(sys.argv[1], "half")
served = doubled()
server.stop()
loaded = sorted(set(sys.modules) - before)
print(json.dumps({"loaded": loaded, "imported": imported, "served": served}))
"""


@pytest.fixture(scope="module")
def process(half_plus_two, tmp_path_factory):
    """What a process says that imported the server, and then served."""
    folder = tmp_path_factory.mktemp("fresh") / "half"
    shutil.copytree(half_plus_two, folder / "1")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_a_process_that_serves_compiles_nothing_as_in_tensorflow_serving(process):
    assert process["imported"] == "2.0", "otherwise this test sees nothing"
    assert "XLA compilation disabled" in process["served"]


def test_a_server_loads_neither_keras_nor_learners(process):
    # TensorFlow itself loads parts of keras; the server adds none.
    names = process["loaded"]
    assert not [name for name in names if name.split(".")[0] in ("keras", "gin", "matplotlib")]
    parts = {name.split(".")[1] for name in names if name.startswith("tfmeta.")}
    assert parts <= {"serve", "process"}
    # Beside the server: lazy names, and what watches TensorFlow's and Keras' start.
    of_process = {name.split(".")[2] for name in names if name.startswith("tfmeta.process.")}
    assert of_process <= {"version", "lazy_names", "quiet_start", "xla_cache"}
