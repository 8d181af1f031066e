"""A meta-step of one process and of two workers on loopback, one thread each, and a cost model.

    python -m benchmarks.two_workers --write

Each contestant is a process (or two) of its own, in turns: one process with all tasks; one with
half of them, which is what a worker computes; two workers. From the all-reduce alone, timed for
several sizes, comes the model: the time of a step of n hosts is that of its share of the tasks,
2 (n - 1) messages one after another, and 2 (n - 1) / n times the bytes over the bandwidth.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from benchmarks import report

_WRITE = flags.DEFINE_bool("write", False, "Write results/two_workers.json.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each contestant runs.")
_CONTESTANT = flags.DEFINE_string("contestant", None, "Run one, `workload/name`, and print it.")
_WEIGHTS = flags.DEFINE_string("weights", None, "Where a contestant writes its weights.")

WORKLOADS = {
    # recipe, bindings, tasks a step, steps a timing
    "sinusoid_mlp": ("sinusoid_maml.gin", (), 50, 50),
    "glyphs_conv4": ("glyphs_5way_1shot_maml.gin", ("conv4.filters = 64",), 32, 3),
}
NAMES = ("one", "half", "two")
DEVICES = "devices"  # one process with two logical CPUs, for its weights
STRATEGIES = {"one": "one_device", "half": "one_device", "two": "multi_worker", DEVICES: "mirrored"}
TIMINGS = 5
SIZES = (1, 10_000, 100_000, 1_000_000)  # float32 numbers of an all-reduce
HOSTS = (1, 2, 4, 8, 16, 32, 64)
MODEL_TASKS = 1024
SECONDS = 400  # that a contestant may take


def contestant(workload, name):
    """Trains for a few steps; prints what they took, and on two workers the all-reduce alone."""
    import tensorflow as tf

    from tfmeta.runs import building, recipe
    from tfmeta.runs.recipe import config
    from tfmeta.runs.training import Training

    gin_file, bindings, tasks, steps = WORKLOADS[workload]
    if name == DEVICES:
        (cpu,), logical = (
            tf.config.list_physical_devices("CPU"),
            tf.config.LogicalDeviceConfiguration,
        )
        tf.config.set_logical_device_configuration(cpu, [logical()] * 2)
    with config.configured(recipe.read_recipe([gin_file], bindings)) as settings:
        building.set_determinism(True)
        strategy = building.make_strategy(STRATEGIES[name])
        learner = building.build_learner(settings, strategy)
        training = Training(learner, strategy, tasks // 2 if name == "half" else tasks)
        training.build(building.train_stream(settings))
        training.start(lambda first: building.train_stream(settings, first))
        training.advance(2)  # The first compiles.
        seconds, cpu = [], time.process_time()
        for _ in range(TIMINGS):
            began = time.perf_counter()
            training.advance(steps)
            seconds.append((time.perf_counter() - began) / steps)
        cpu = (time.process_time() - cpu) / (TIMINGS * steps)
        parameters = [v.numpy() for v in learner.parameter_variables]
        found = {"seconds": seconds, "cpu_seconds": cpu, "parameters": _count(parameters)}
        if name == "two":
            found["all_reduce"] = {size: _all_reduce(tf, strategy, size) for size in SIZES}
        np.savez(_WEIGHTS.value, *parameters)
        print(json.dumps(found))


def _count(parameters):
    return int(sum(p.size for p in parameters))


def _all_reduce(tf, strategy, size, times=20):
    """Seconds of an all-reduce of `size` float32 numbers, the best of three loops."""

    def reduced(vector):
        replica_vector = strategy.run(tf.identity, (vector,))
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, replica_vector, axis=None)

    @tf.function(autograph=False)
    def loop(vector):
        def body(done, vector):
            return done + 1, reduced(vector)

        return tf.while_loop(lambda done, _: done < times, body, (0, vector), parallel_iterations=1)

    vector, best = tf.ones([size]), float("inf")
    for _ in range(4):  # The first compiles.
        began = time.perf_counter()
        loop(vector)[1].numpy()
        best = min(best, (time.perf_counter() - began) / times)
    return best


def run(workload, name, folder):
    """One contestant in a process of its own, or in two; gives what the first one printed."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    processes = []
    for index in range(2 if name == "two" else 1):
        task = {"type": "worker", "index": index}
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_CONFIG", None)
        if name == "two":
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [sys.executable, "-m", "benchmarks.two_workers"]
        command += [f"--contestant={workload}/{name}", f"--weights={folder / name}{index}.npz"]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return json.loads(outputs[0].splitlines()[-1])


def distance(folder, first, second):
    """How far two contestants' weights are from each other."""
    ours, theirs = (np.load(folder / f"{name}.npz") for name in (first, second))
    pairs = [(ours[key], theirs[key]) for key in ours.files]
    squares = [(np.sum((a - b) ** 2), np.sum(b**2)) for a, b in pairs]
    return {
        "largest_difference": float(max(np.abs(a - b).max() for a, b in pairs)),
        "relative_norm_of_difference": float(np.sqrt(np.divide(*np.sum(squares, axis=0)))),
        "bit_for_bit": all((a == b).all() for a, b in pairs),
    }


def row_of(found, all_reduce, weights):
    """A workload's figures, from the rounds of its contestants."""
    medians = {name: float(np.median([r["seconds"] for r in found[name]])) for name in NAMES}
    best = {name: float(np.min([r["seconds"] for r in found[name]])) for name in NAMES}
    parameters = found["one"][0]["parameters"]
    cpu = {name: float(np.median([r["cpu_seconds"] for r in found[name]])) for name in NAMES}
    return {
        "parameters": parameters,
        "bytes_sent_by_a_worker_a_step": parameters * 4,
        "seconds_median": medians,
        "seconds_best": best,
        "cpu_seconds_median": cpu,
        "speedup_of_best": best["one"] / best["two"],
        "cpu_seconds_one_over_two": cpu["one"] / cpu["two"],
        "model_seconds_of_two": cpu["half"] + _all_reduce_seconds(all_reduce, parameters, hosts=2),
        "weights": weights,
    }


def all_reduce_model(measured):
    """Latency of a message and bandwidth, from the smallest and the largest all-reduce.

    Args:
        measured: `{number of float32 numbers: seconds}` of two workers. There a worker sends two
            messages one after another, and as many bytes as the vector has.
    """
    sizes = sorted(measured, key=int)
    small, large = measured[sizes[0]], measured[sizes[-1]]
    return {
        "message_seconds": small / 2,
        "bytes_per_second": 4 * int(sizes[-1]) / max(large - small, 1e-9),
        "seconds_by_size": measured,
    }


def _all_reduce_seconds(model, parameters, hosts):
    messages, share = 2 * (hosts - 1), 2 * (hosts - 1) / hosts
    return messages * model["message_seconds"] + (
        share * 4 * parameters / model["bytes_per_second"]
    )


def scaling(row, tasks, all_reduce, total=MODEL_TASKS):
    """What the model says of `total` tasks a step on more hosts, each as fast as this one."""
    # A line through the two measured numbers of tasks: a fixed cost, and one a task. The
    # processor's time, which other programs do not lengthen; it is one thread's.
    cpu = row["cpu_seconds_median"]
    per_task = (cpu["one"] - cpu["half"]) / (tasks / 2)
    fixed = max(cpu["half"] - per_task * tasks / 2, 0.0)
    rows = {}
    for hosts in HOSTS:
        compute = fixed + per_task * total / hosts
        reduce = _all_reduce_seconds(all_reduce, row["parameters"], hosts)
        rows[hosts] = {"compute_seconds": compute, "all_reduce_seconds": reduce}
    alone = sum(rows[1].values())
    for found in rows.values():
        found["speedup"] = alone / (found["compute_seconds"] + found["all_reduce_seconds"])
    return rows


def measure(workload):
    """Runs a workload's contestants in turns."""
    found = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_ROUNDS.value):
            for name in NAMES:
                found[name].append(run(workload, name, pathlib.Path(folder)))
        run(workload, DEVICES, pathlib.Path(folder))
        weights = {
            "two_against_two_devices_of_one_process": distance(
                pathlib.Path(folder), "two0", f"{DEVICES}0"
            ),
            "two_against_one": distance(pathlib.Path(folder), "two0", "one0"),
            "worker_1_against_worker_0": distance(pathlib.Path(folder), "two1", "two0"),
        }
    by_size = [r["all_reduce"] for r in found["two"]]
    all_reduce = all_reduce_model({size: min(r[size] for r in by_size) for size in by_size[0]})
    row = row_of(found, all_reduce, weights)
    return {
        "tasks": WORKLOADS[workload][2],
        **row,
        "all_reduce": all_reduce,
        f"model_of_{MODEL_TASKS}_tasks": scaling(row, WORKLOADS[workload][2], all_reduce),
    }


def main(_):
    if _CONTESTANT.value:
        contestant(*_CONTESTANT.value.split("/"))
        return
    rows = {}
    for workload in WORKLOADS:
        rows[workload] = measure(workload)
        shown = {name: rows[workload][name] for name in ("seconds_best", "speedup_of_best")}
        print(f"{workload}: {shown}", flush=True)
    if _WRITE.value:
        results = {
            "command": report.command("benchmarks.two_workers", sys.argv[1:]),
            "machine": report.machine(),
            "threads_of_a_process": 1,
            "rows": rows,
        }
        text = json.dumps(results, indent=2) + "\n"
        pathlib.Path("results/two_workers.json").write_text(text)


if __name__ == "__main__":
    app.run(main)
