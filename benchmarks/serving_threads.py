"""The served graph with one thread an operation and with all: requests of several sizes.

    python -m benchmarks.serving_threads [--write]

Two processes, each with an export of Omniglot's network (5 ways, 5 inner steps) in a session as
the embedded server has, take turns. `--write` stores results/serving_threads.json: milliseconds of
a call alone, by its size, and calls a second of four threads that call at once.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from absl import app, flags

from benchmarks import report, serving_models, serving_process
from benchmarks.turns import ROOT
from tfmeta.serve.models.served_version import ServedVersion

WAYS, CALLERS = 5, 4

_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", 1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "For each size in a turn.", 0)
_WORKER = flags.DEFINE_string("worker", None, "For the processes that this starts.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/serving_threads.json.")


def requests() -> dict:
    """(signature, inputs) by name."""
    draw = np.random.default_rng(0)

    def task(shots, queries):
        return {
            "support_inputs": draw.random((WAYS * shots, 28, 28, 1), np.float32),
            "support_targets": np.repeat(np.arange(WAYS, dtype=np.int32), shots),
            "query_inputs": draw.random((queries, 28, 28, 1), np.float32),
        }

    def tasks(count, queries):
        several = [task(1, queries) for _ in range(count)]
        return {name: np.stack([one[name] for one in several]) for name in several[0]}

    return {
        "1 shot, 5 queries": ("adapt_and_predict", serving_process.good_inputs(draw)),
        "5 shots, 75 queries": ("adapt_and_predict", task(5, 75)),
        "20 shots, 75 queries": ("adapt_and_predict", task(20, 75)),
        "8 tasks, 1 shot, 5 queries": ("adapt_and_predict_tasks", tasks(8, 5)),
        "32 tasks, 1 shot, 15 queries": ("adapt_and_predict_tasks", tasks(32, 15)),
    }


def work(path, threads):
    """Answers each line of standard input with a turn's figures."""
    served, asked = ServedVersion(path, threads, os.cpu_count()), requests()
    for signature, inputs in asked.values():
        served.run(signature, inputs)
    for _ in sys.stdin:
        found = {name: _median(served, *one) for name, one in asked.items()}
        print(json.dumps([found, _at_once(served, *next(iter(asked.values())))]), flush=True)


def _median(served, signature, inputs):
    times, end = [], time.perf_counter() + _SECONDS.value
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        served.run(signature, inputs)
        times.append((time.perf_counter() - began) * 1e3)
    return float(np.median(times))


def _at_once(served, signature, inputs):
    counts, end = [0] * CALLERS, time.perf_counter() + _SECONDS.value

    def call(number):
        while time.perf_counter() < end:
            served.run(signature, inputs)
            counts[number] += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(counts) / _SECONDS.value


def _worker(path, threads):
    command = [sys.executable, "-m", "benchmarks.serving_threads"]
    command += [f"--worker={path}:{threads}", f"--seconds={_SECONDS.value}"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def main(_):
    if _WORKER.value is not None:
        path, threads = _WORKER.value.rsplit(":", 1)
        work(path, int(threads))
        return
    turns = {}
    with tempfile.TemporaryDirectory() as folder:
        serving_models.export_omniglot(folder)
        workers = {threads: _worker(f"{folder}/1", threads) for threads in (1, os.cpu_count())}
        for _ in range(_ROUNDS.value):
            for threads, process in workers.items():
                process.stdin.write("turn\n")
                process.stdin.flush()
                turns.setdefault(threads, []).append(json.loads(process.stdout.readline()))
        for process in workers.values():
            process.stdin.close()
            process.wait()
    found = {
        "command": report.command("benchmarks.serving_threads", sys.argv[1:]),
        "machine": report.machine(),
        "by_threads_of_an_operation": {threads: summary(each) for threads, each in turns.items()},
    }
    print(json.dumps(found, indent=1))
    if _WRITE.value:
        path = ROOT / "results" / "serving_threads.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def summary(turns) -> dict:
    """Medians over turns."""
    return {
        "milliseconds": {
            name: round(float(np.median([alone[name] for alone, _ in turns])), 2)
            for name in turns[0][0]
        },
        f"calls_per_second_of_{CALLERS}": round(float(np.median([many for _, many in turns])), 1),
    }


if __name__ == "__main__":
    app.run(main)
