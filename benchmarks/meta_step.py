"""Times the meta-step of tfmeta beside other ways to compute it, in turns, on this machine.

    python -m benchmarks.meta_step --torch_python=../torch/bin/python --write
    python -m benchmarks.meta_step --torch_python=../torch/bin/python --workload=all \
        --only_missing --write

Each contestant is a process of its own. First all must agree on loss and meta-gradient; then they
take turns, for about --seconds a workload. A contestant that takes longer than --limit for one
step is stopped, and reported so. `benchmarks/workloads.py` registers workloads,
`benchmarks/entries.py` contestants; `benchmarks.meta_step_chart` gathers what was written.
"""

import sys

from absl import app, flags

from benchmarks import agreement, line_up, measurement, operations, report, turns
from benchmarks.entries import YARDSTICKS
from benchmarks.workloads import WORKLOADS, described

_SECONDS = flags.DEFINE_float("seconds", 20.0, "Of turns, a workload; without --rounds.")
_ROUNDS = flags.DEFINE_integer("rounds", None, "Of each contestant; None: by --seconds.", 1)
_STEPS = flags.DEFINE_integer("steps", 1, "Timed meta-steps in a turn; with --rounds.", 1)
_LIMIT = flags.DEFINE_float("limit", 60.0, "Seconds for one meta-step.")
_FIRST_LIMIT = flags.DEFINE_float("first_limit", 120.0, "Seconds for one that compiles.")
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")
_ONLY_MISSING = flags.DEFINE_bool(
    "only_missing", False, "Leave out workloads whose stored result is of this code."
)
_NOTE = flags.DEFINE_string("note", "", "What a reader of the result should know of the machine.")


def main(argv):
    del argv
    failures = 0
    for name in line_up.workload_names():
        file = f"meta_step_{name}_{line_up.THREADS.value}threads.json"
        if _ONLY_MISSING.value and report.is_current(file):
            print(f"{name}: its stored result is of this code", flush=True)
            continue
        print(f"{name}:", flush=True)
        try:
            document = result(name)
        except (agreement.Disagreement, turns.Stopped) as reason:
            failures += 1
            print(f"{name} was not timed. {reason}", flush=True)
            continue
        print(report.table(document["contestants"]), flush=True)
        if _WRITE.value:
            report.write(file, document)
    return int(failures > 0)


def result(workload_name) -> dict:
    """The document of one workload."""
    limits = measurement.Limits(_FIRST_LIMIT.value, _LIMIT.value)
    names = line_up.contestant_names(workload_name)
    rows = measurement.measure(workload_name, names, limits, plans)
    return {
        "command": report.command("benchmarks.meta_step", sys.argv[1:]),
        "code": report.code_version(),
        "machine": report.machine(),
        "note": _NOTE.value,
        "workload": {"name": workload_name, **described(WORKLOADS[workload_name])},
        "threads": line_up.THREADS.value,
        "operations": operations.operations(WORKLOADS[workload_name]),
        "tolerance": agreement.float32_tolerance(rows[names[0]]["distance"]),
        "contestants": {name: row for name, row in rows.items() if name not in YARDSTICKS},
        "yardsticks": {name: rows[name] for name in YARDSTICKS},
    }


def plans(running, rows) -> dict:
    """By contestant: --rounds turns of --steps each, or what --seconds allow."""
    step_seconds = measurement.early_steps(running, rows)
    if _ROUNDS.value is None:
        return turns.plan(step_seconds, _SECONDS.value)
    return dict.fromkeys(step_seconds, turns.Plan(_ROUNDS.value, _STEPS.value))


if __name__ == "__main__":
    app.run(main)
