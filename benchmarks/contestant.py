"""A contestant's own process: builds its meta-step, then waits on a pipe for its turns.

Started by the drivers with its name, the workload's, the number of threads, and what to change in
the workload as a JSON object. Reads a JSON object a line from its input, answers with one:
{"command": "build"} -> {"seconds"};
{"command": "answer", "path": ...} -> {"loss", "seconds"}, the arrays in an .npz at the path;
{"command": "steps", "count": n} -> {"seconds": [n], "cpu_seconds", "loss"};
{"command": "describe"} -> versions and memory.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time

import numpy as np

from benchmarks import devices
from benchmarks.entries import PROCESSES, YARDSTICKS
from benchmarks.workloads import WORKLOADS, changed

PACKAGES = ("tensorflow", "keras", "torch", "torchopt", "higher", "jax", "jaxlib", "numpy")


class Turns:
    """Answers the requests of a driver; methods are named as the commands."""

    def __init__(self, contestant, workload):
        self._contestant, self._workload = contestant, workload
        self._runner = self._idle_bytes = None

    def build(self):
        begin = time.perf_counter()
        importlib.import_module(self._contestant.module_of(self._workload.algorithm.name))
        self._idle_bytes = _peak_bytes()
        self._runner = self._contestant.runner(self._workload)
        return {"seconds": time.perf_counter() - begin}

    def answer(self, path):
        begin = time.perf_counter()
        loss, arrays = self._runner.answer()
        arrays = [np.asarray(array) for array in arrays]
        seconds = time.perf_counter() - begin
        np.savez(path, *arrays)
        return {"loss": None if loss is None else float(loss), "seconds": seconds}

    def steps(self, count):
        seconds, loss = [], None
        before = time.process_time()
        for _ in range(count):
            begin = time.perf_counter()
            loss = self._runner.step()
            seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds, "cpu_seconds": time.process_time() - before, "loss": loss}

    def describe(self):
        versions = {"python": platform.python_version()}
        for package in PACKAGES:
            if package in sys.modules:
                versions[package] = importlib.metadata.version(package)
        return {
            "versions": versions,
            "idle_bytes": self._idle_bytes,
            "peak_bytes": _peak_bytes(),
        } | devices.accelerator()


def main(name, workload_name, threads, changes):
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What libraries print must not reach the pipe.
    os.dup2(2, 1)
    contestant = PROCESSES[name]
    workload = changed(WORKLOADS[workload_name], changes)
    LIBRARIES[contestant.interpreter](threads, workload, name in YARDSTICKS)
    turns = Turns(contestant, workload)
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("command")
        print(json.dumps(getattr(turns, command)(**request)), file=answers)


def _set_up_torch(threads, workload, is_yardstick):
    import torch

    torch.set_num_threads(threads)
    devices.set_up_torch(torch)


def _set_up_tensorflow(threads, workload, is_yardstick):
    import tensorflow as tf

    intra_op = threads if is_yardstick else workload.intra_op_threads or threads
    tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _set_up_jax(threads, workload, is_yardstick):
    # It takes as many threads as the process has cores: the driver sets the affinity.
    import jax

    jax.config.update("jax_enable_x64", workload.dtype == "float64")
    devices.set_up_jax(jax)


LIBRARIES = {"torch": _set_up_torch, "tensorflow": _set_up_tensorflow, "jax": _set_up_jax}


def _peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
