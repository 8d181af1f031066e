"""Checks in float64 that all contestants of the benchmark of the meta-step compute the same.

    python -m benchmarks.meta_step_agreement --workload=all --torch_python=../torch/bin/python \
        --write

Losses and arrays must be as near to the first contestant's as `agreement.FLOAT64_TOLERANCE`; exits
with 1 where one is not, or does not answer. Two tasks of each workload are enough for that: a batch
is a mean over tasks. `benchmarks.meta_step` checks in float32, on all tasks, before it times.
`--write` stores after each workload, beside those that this very code agreed on before.
"""

import json
import sys

from absl import app, flags

from benchmarks import agreement, line_up, report, turns
from benchmarks.workloads import WORKLOADS, changed

_TASKS = flags.DEFINE_integer("tasks", 2, "At most, of each workload.", 1)
_LIMIT = flags.DEFINE_float("limit", 300.0, "Seconds for a contestant's answer.")
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/agreement.json.")
FILE = "agreement.json"


def main(argv):
    del argv
    rows = {}
    for name in line_up.workload_names():
        tasks = min(_TASKS.value, WORKLOADS[name].problem.tasks)
        rows[name] = distances(name, {"dtype": "float64", "tasks": tasks})
        if _WRITE.value:
            store(name, rows[name])
    return int(any(failed(far) for row in rows.values() for far in row.values()))


def store(name, row):
    """Keeps a workload's row in agreement.json; rows of other code go."""
    current = report.is_current(FILE)
    rows = json.loads((report.RESULTS / FILE).read_text())["distances"] if current else {}
    report.write(
        FILE,
        {
            "command": report.command("benchmarks.meta_step_agreement", sys.argv[1:]),
            "code": report.code_version(),
            "tolerance": agreement.FLOAT64_TOLERANCE,
            "distances": rows | {name: row},
        },
    )


def distances(workload_name, changes) -> dict:
    """Distances by contestant from the first one; where one did not answer, why."""
    workload = changed(WORKLOADS[workload_name], changes)
    found, first = {}, None
    for name in line_up.contestant_names(workload_name):
        process = line_up.start(name, workload_name, changes)
        try:
            process.ask("build", _LIMIT.value)
            answer = agreement.ask(process, workload, _LIMIT.value)
            first = first or answer
            found[name] = max(agreement.distance(workload, answer, first))
        except turns.Stopped as reason:
            found[name] = str(reason)
        finally:
            process.close()
        verdict = "  <- too far" if failed(found[name]) else ""
        print(f"{workload_name} {name}: {found[name]}{verdict}", flush=True)
    return found


def failed(far) -> bool:
    return isinstance(far, str) or not far <= agreement.FLOAT64_TOLERANCE


if __name__ == "__main__":
    app.run(main)
