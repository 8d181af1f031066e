"""Runs of several worker processes on loopback, for tests that stop, kill and start them again."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tfmeta.runs.checkpoints import Checkpoints

PATIENCE = 150.0  # seconds that anything may take on a busy machine


def free_addresses(number: int) -> list[str]:
    """Addresses on loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in found]


def tf_config(addresses: list[str], index: int) -> str:
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


class Workers:
    """Two processes of `python -m tfmeta.train` in one work directory.

    Args:
        workdir: the work directory; each worker's output goes beside it.
        params: bindings of the recipe.
    """

    def __init__(self, workdir: Path, params: list[str]):
        self.workdir = workdir
        flags = [f"--gin_param={binding}" for binding in params]
        command = [sys.executable, "-m", "tfmeta.train", "--gin_file=sinusoid_maml.gin", *flags]
        addresses = free_addresses(2)
        common = {"TF_NUM_INTRAOP_THREADS": "1", "TFMETA_WORKERS_TIMEOUT": str(PATIENCE)}
        self.processes = []
        for index in range(2):
            environment = {**os.environ, **common, "TF_CONFIG": tf_config(addresses, index)}
            with open(self._log(index), "ab") as log:
                process = subprocess.Popen(
                    [*command, f"--workdir={workdir}"], stdout=log, stderr=log, env=environment
                )
            self.processes.append(process)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE)

    def wait_for_step(self, step: int) -> None:
        """Returns when a checkpoint of `step` or later is there, while both run."""
        deadline = time.monotonic() + PATIENCE
        while self.last_step() < step:
            assert all(process.poll() is None for process in self.processes), self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(1e-3)

    def exit_codes(self) -> list[int]:
        """Waits for both to end."""
        deadline = time.monotonic() + PATIENCE
        return [p.wait(max(deadline - time.monotonic(), 0.1)) for p in self.processes]

    def last_step(self) -> int:
        return max(Checkpoints(self.workdir / "checkpoints").steps(), default=0)

    def said(self) -> list[str]:
        """All that each worker wrote, over every start."""
        return [self._log(index).read_text() for index in range(2)]

    def _log(self, index: int) -> Path:
        return self.workdir.with_name(f"{self.workdir.name}_worker{index}.log")
