"""Versions that the server's user may not read."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import numpy as np
import pytest

from tfmeta.serve import ServingError
from tfmeta.serve.models.model_server import ModelSpec

NOBODY = 65534
SPEC = ModelSpec("model")
FILES = {
    "base path": ".",
    "directory": "2",
    "graph": "2/saved_model.pb",
    "variables": "2/variables/variables.index",
    "warmup": "2/assets.extra/tf_serving_warmup_requests",
}


@contextlib.contextmanager
def unprivileged():
    """Files are opened by a user who may not open all; where tests run as root, by nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)  # of the process, with all its threads
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def open_folder():
    """A folder that everyone may enter; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("hidden", FILES)
def test_what_may_not_be_read_is_reported_and_the_old_version_stays(
    start, half_plus_two, half_plus_three, hidden
):
    with open_folder() as folder:
        base = folder / "model"
        shutil.copytree(half_plus_two, base / "1")
        server = start(
            base, "model", file_system_poll_wait_seconds=0, load_retry_interval_seconds=0
        )
        model = server.models._set._models["model"]
        shutil.copytree(half_plus_three, base / "2")
        (base / "2" / "assets.extra").mkdir(exist_ok=True)
        (base / FILES["warmup"]).write_bytes(b"")
        target = base / FILES[hidden]
        allowed = target.stat().st_mode
        target.chmod(0)
        try:
            with unprivileged():
                if os.access(target, os.R_OK, effective_ids=True):
                    pytest.skip("this user may read everything")
                if hidden == "base path":
                    with pytest.raises(ServingError, match=r"base path .* Permission denied"):
                        model.poll()
                else:
                    model.poll()
        finally:
            target.chmod(allowed)
        states = {number: state for number, state, _ in server.models.status(SPEC)}
        if hidden != "base path":
            assert states.pop(2) == "END"
            _, _, error = server.models.status(SPEC)[0]
            assert error.message
        assert states == {1: "AVAILABLE"}
        assert server.models.predict(SPEC, {"x": np.float32([2.0])}) == (1, {"y": [3.0]})
        for _ in range(2):  # a changed directory is looked at twice
            model.poll()
        assert server.models.predict(SPEC, {"x": np.float32([2.0])}) == (2, {"y": [4.0]})
