"""A signal is answered while the main thread is within an operation that can't be interrupted."""

import signal
import subprocess
import sys
import time

PROGRAM = """
import hashlib, signal
from tfmeta.process.interrupts import Interrupts
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
with Interrupts("computing", "it ends with what is under way") as interrupts:
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1000)
    print("ready", flush=True)
    # Minutes within one call of C, which gives up Python's lock and takes no signal.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_the_first_signal_is_answered_at_once_and_the_second_ends_the_process():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.stderr.readline()
        assert "SIGINT while computing: it ends with what is under way." in said
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "ended at once" in process.stderr.readline()
        assert process.wait(60) == 128 + signal.SIGINT


def test_who_listened_to_signals_before_listens_again():
    from tfmeta.process.interrupts import Interrupts

    with Interrupts():
        pass
    assert signal.set_wakeup_fd(-1) == -1
