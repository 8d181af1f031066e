"""A contestant's own process: builds its meta-step, then waits on a pipe for its turns.

Started by the drivers. Reads a JSON object a line from its input, answers with one:
{"command": "gradient", "path": ...} -> {"loss", "seconds"}, the gradient in an .npz at the path;
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

from benchmarks.entries import CONTESTANTS, WORKLOADS

PACKAGES = ("tensorflow", "keras", "torch", "jax", "jaxlib", "numpy")


def main(name, workload_name, threads):
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What libraries print must not reach the pipe.
    os.dup2(2, 1)
    contestant = CONTESTANTS[name]
    _limit_threads(contestant.interpreter, threads)
    module = importlib.import_module(contestant.module)
    idle_bytes = _peak_bytes()
    runner = getattr(module, contestant.build)(WORKLOADS[workload_name])
    handlers = {
        "gradient": lambda request: _gradient(runner, request["path"]),
        "steps": lambda request: _steps(runner, request["count"]),
        "describe": lambda request: _describe(idle_bytes),
    }
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(handlers[request["command"]](request)), file=answers)


def _limit_threads(interpreter, threads):
    if interpreter == "torch":
        import torch

        torch.set_num_threads(threads)
    elif interpreter == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    # JAX takes as many threads as the process has cores: the driver sets the affinity.


def _gradient(runner, path):
    begin = time.perf_counter()
    loss, gradients = runner.gradient()
    gradients = [np.asarray(gradient) for gradient in gradients]
    seconds = time.perf_counter() - begin
    np.savez(path, *gradients)
    return {"loss": float(loss), "seconds": seconds}


def _steps(runner, count):
    seconds, loss = [], None
    before = time.process_time()
    for _ in range(count):
        begin = time.perf_counter()
        loss = runner.step()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "cpu_seconds": time.process_time() - before, "loss": loss}


def _describe(idle_bytes):
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        if package in sys.modules:
            versions[package] = importlib.metadata.version(package)
    return {"versions": versions, "idle_bytes": idle_bytes, "peak_bytes": _peak_bytes()}


def _peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
