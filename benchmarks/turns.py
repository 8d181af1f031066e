"""Processes that take turns: one works while the others wait on a pipe."""

import json
import os
import pathlib
import subprocess
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# Thread pools spin for a while after their work (OpenMP up to 0.2 s) before they sleep.
SETTLE_SECONDS = 0.4


class Process:
    """One contestant in an interpreter of its own."""

    def __init__(self, name, workload_name, interpreter, threads):
        self.name = name
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(ROOT),
        }
        command = [interpreter, "-m", "benchmarks.contestant", name, workload_name, str(threads)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(self._process.pid, cores)

    def ask(self, command, **arguments):
        """Sends a request and waits for the answer.

        Raises:
            RuntimeError: if the process has ended.
        """
        request = json.dumps({"command": command, **arguments}) + "\n"
        try:
            self._process.stdin.write(request.encode())
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise RuntimeError(
                f"A contestant must answer. Received: {self.name} ended with code "
                f"{self._process.wait()}. Its own output is above; leave it out by --contestants=."
            )
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def gradients(process, folder):
    """The contestant's loss, gradient as a list of arrays, and seconds of this first call."""
    path = pathlib.Path(folder) / f"{process.name}.npz"
    answer = process.ask("gradient", path=str(path))
    with np.load(path) as file:
        return answer["loss"], [file[name] for name in file.files], answer["seconds"]


def take_turns(processes, rounds, steps, report=lambda round_, process, answer: None):
    """Seconds of each timed step, by contestant: a list [rounds] of lists [steps].

    A turn's first step is not counted: it brings back caches and threads. Every second round
    goes the other way round, so that a slow drift of the machine meets all alike.
    """
    seconds = {process.name: [] for process in processes}
    cpu_seconds = {process.name: [] for process in processes}
    for round_ in range(rounds):
        for process in processes if round_ % 2 == 0 else processes[::-1]:
            process.ask("steps", count=1)
            answer = process.ask("steps", count=steps)
            time.sleep(SETTLE_SECONDS)
            seconds[process.name].append(answer["seconds"])
            cpu_seconds[process.name].append(answer["cpu_seconds"] / steps)
            report(round_, process, answer)
    return seconds, cpu_seconds
