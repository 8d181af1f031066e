"""Times tfmeta's lowered meta-step beside PyTorch's and JAX's, in turns, on a GPU.

    python -m benchmarks.meta_step_gpu --lowered=lowered --workload=all --write=gpu.json

For a machine that has PyTorch and JAX; TensorFlow is not needed: `benchmarks.lowering` wrote the
folder elsewhere. As `benchmarks.meta_step`: each contestant is a process of its own, all must agree
with PyTorch's float64 answer first, then they take turns. Since compilers take most of the time
here, the contestants of some workloads (--at_once) are built at the same time; turns are taken
with nothing else running. No workload is begun after --deadline.
"""

import concurrent.futures
import json
import os
import pathlib
import sys
import time

from absl import app, flags

from benchmarks import (
    agreement,
    devices,
    line_up,
    lowered_files,
    measurement,
    operations,
    report,
    turns,
)
from benchmarks.entries import GPU_YARDSTICKS, LOWERED
from benchmarks.workloads import WORKLOADS, described

_LOWERED = flags.DEFINE_string("lowered", None, "What benchmarks.lowering wrote.", required=True)
_DEVICE = flags.DEFINE_enum(
    "device", devices.GPU, [devices.GPU, devices.GPU_TF32], "TF32: operands are rounded to it."
)
_AT_ONCE = flags.DEFINE_integer("at_once", 4, "Workloads that are built at the same time.", 1)
_SECONDS = flags.DEFINE_float("seconds", 8.0, "Of turns, a workload.")
_LIMIT = flags.DEFINE_float("limit", 20.0, "Seconds for one meta-step.")
_FIRST_LIMIT = flags.DEFINE_float("first_limit", 150.0, "Seconds for one that compiles.")
_DEADLINE = flags.DEFINE_float("deadline", 1e9, "Seconds after which no workload is begun.")
_WRITE = flags.DEFINE_string("write", None, "JSON file; written after each workload.")
_NOTE = flags.DEFINE_string("note", "", "What a reader of the result should know.")
PEERS = ("pytorch_loop", "torch_func_vmap", "torchopt", "higher", "jax_vmap", "jax_lax_map")
# No threads spin after their work as on a CPU.
SETTLE_SECONDS = 0.02


def main(argv):
    del argv
    began = time.monotonic()
    os.environ[devices.VARIABLE] = _DEVICE.value
    os.environ[lowered_files.VARIABLE] = _LOWERED.value
    # Several processes share the GPU's memory.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    documents, failures = {}, 0
    workload_names, size = line_up.workload_names(), _AT_ONCE.value
    for start in range(0, len(workload_names), size):
        names = workload_names[start : start + size]
        if time.monotonic() - began > _DEADLINE.value:
            print(f"Not begun for want of time: {', '.join(names)}", flush=True)
            continue
        for name, found in zip(names, built(names), strict=True):
            try:
                documents[name] = timed(name, *found)
            except (agreement.Disagreement, turns.Stopped) as reason:
                failures += 1
                print(f"{name} was not timed. {reason}", flush=True)
                continue
            print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
            print(report.table(documents[name]["contestants"]), flush=True)
            if _WRITE.value:
                pathlib.Path(_WRITE.value).write_text(json.dumps(documents))
    return int(failures > 0)


def built(names):
    """(processes, rows) of each workload: everything that happens once, of all at a time."""
    limits = measurement.Limits(_FIRST_LIMIT.value, _LIMIT.value)
    jobs, pool = [], concurrent.futures.ThreadPoolExecutor(64)
    for name in names:
        workload, exact = WORKLOADS[name], lowered_files.answer(name, lowered_files.EXACT)
        peers = [peer for peer in line_up.contestant_names(name) if peer in PEERS]
        processes = [line_up.start(c, name) for c in (*peers, *LOWERED, *GPU_YARDSTICKS)]
        rows = {
            p.name: pool.submit(measurement.first_row, p, workload, exact, limits)
            for p in processes
        }
        jobs.append((processes, rows))
    return [(ps, {name: row.result() for name, row in rows.items()}) for ps, rows in jobs]


def timed(name, processes, rows) -> dict:
    """The document of one workload, whose contestants are built."""
    workload = WORKLOADS[name]
    measurement.in_turns(processes, rows, plans, SETTLE_SECONDS)
    measurement.with_shares(rows, workload, GPU_YARDSTICKS, operations.LARGE_ON_GPU)
    on_cpu, exact = (
        lowered_files.answer(name, which) for which in (lowered_files.ON_CPU, lowered_files.EXACT)
    )
    return {
        "command": report.command("benchmarks.meta_step_gpu", sys.argv[1:]),
        "code": lowered_files.about(name)["code"],
        "machine": report.machine(),
        "note": _NOTE.value,
        "device": _DEVICE.value,
        "workload": {"name": name, **described(workload)},
        "operations": operations.operations(workload),
        "tolerance": agreement.float32_tolerance(rows[processes[0].name]["distance"]),
        "distance_of_tfmeta_on_cpu": agreement.distance(workload, on_cpu, exact),
        "contestants": {key: row for key, row in rows.items() if key not in GPU_YARDSTICKS},
        "yardsticks": {key: rows[key] for key in GPU_YARDSTICKS},
    }


def plans(running, rows) -> dict:
    """What --seconds allow, by steps that are taken again, now that nothing is compiled."""
    for process in running:
        rows[process.name]["early_step_seconds"] = min(process.ask("steps", count=2)["seconds"])
    steps = measurement.early_steps(running, rows)
    return turns.plan(steps, _SECONDS.value, SETTLE_SECONDS)


if __name__ == "__main__":
    app.run(main)
