"""XLA is off where a model is served, as in TensorFlow Serving."""

import subprocess
import sys

PROGRAM = """
import sys
import tensorflow as tf
from tfmeta.serve.served_version import ServedVersion

double = tf.function(lambda x: x + x, jit_compile=True)
if "--serve" in sys.argv:
    try:
        ServedVersion("no such directory")
    except Exception:
        pass
try:
    print(float(double(tf.constant(1.0))))
except tf.errors.OpError as error:
    print(error.message)
"""


def output(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_a_process_that_serves_compiles_nothing():
    assert "XLA compilation disabled" in output("--serve")


def test_control_without_a_served_model_it_compiles():
    assert output() == "2.0\n"
