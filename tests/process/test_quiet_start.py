"""TensorFlow's own lines stay off the terminal while it loads; everything else is printed."""

import os
import subprocess
import sys

from tfmeta.process.quiet_start import quiet_start

NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:17.3 9012 cudart_stub.cc:31] Could not find cuda drivers on your machine.\n"
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.\n"
    "E0000 00:00:17.3 9012 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\n"
)
WORDS = "a warning of a library\nE0000 00:00:17.3 9012 file.cc:1] a library is missing\n"


def printed(capfd):
    with quiet_start():
        os.write(2, (NOISE + WORDS).encode())
    return capfd.readouterr().err


def test_lines_of_tensorflow_are_kept_off_and_others_printed(capfd, monkeypatch):
    monkeypatch.setattr("tfmeta.process.quiet_start.Path.exists", lambda path: False)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    assert printed(capfd) == WORDS


def test_whoever_asks_for_all_lines_gets_them(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert printed(capfd) == NOISE + WORDS


def test_what_is_imported_after_tfmeta_loads_quietly_and_finds_learners():
    program = (
        "import tfmeta, keras, tensorflow as tf\n"
        "tf.constant(1)\n"
        "assert keras.saving.get_registered_object('tfmeta>MAML') is not None\n"
        "assert tf.config.threading.get_intra_op_parallelism_threads() == 0\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=True,
    )
    assert "cuda" not in done.stderr.lower()
    assert "onednn" not in done.stderr.lower()
