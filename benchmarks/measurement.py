"""The measurement of one workload: all contestants agree, then they take turns."""

from typing import NamedTuple

import numpy as np

from benchmarks import agreement, line_up, operations, report, turns
from benchmarks.entries import GPU_YARDSTICKS, YARDSTICKS
from benchmarks.workloads import WORKLOADS


class Limits(NamedTuple):
    """Seconds after which a contestant is stopped.

    Attributes:
        first: of building, of a first answer and a first step: they trace and compile.
        step: of any other step.
    """

    first: float
    step: float


def measure(workload_name, names, limits, make_plans) -> dict:
    """Rows by contestant and yardstick.

    Args:
        workload_name: of `WORKLOADS`.
        names: of contestants; the first is what the others are compared with.
        limits: a contestant that takes longer gets a row that says so.
        make_plans: as `in_turns`, which says what is raised.
    """
    workload = WORKLOADS[workload_name]
    exact = exact_answer(workload_name, names[0], limits)
    processes = [line_up.start(name, workload_name) for name in (*names, *YARDSTICKS)]
    rows = {p.name: first_row(p, workload, exact, limits) for p in processes}
    in_turns(processes, rows, make_plans)
    return with_shares(rows, workload)


def in_turns(processes, rows, make_plans, settle=None):
    """Adds to the rows of contestants that are built what they take in turns; closes them.

    Args:
        processes: the first is what the others are compared with.
        rows: by name, of `first_row`.
        make_plans: function of the processes that run, and of their rows, to `turns.Plan`s.
        settle: as `turns.take_turns`.

    Raises:
        agreement.Disagreement: if a contestant computes something else; nothing is timed then.
        turns.Stopped: if the first contestant is stopped.
    """
    first = processes[0].name
    try:
        if "stopped" in rows[first]:
            raise turns.Stopped(f"{first}: {rows[first]['stopped']}")
        check_agreement(rows)
        running = [process for process in processes if "stopped" not in rows[process.name]]
        plans = make_plans(running, rows)
        timed = turns.take_turns(running, plans, report=_print_turn, settle=settle)
        for process in running:
            rows[process.name] |= process.ask("describe")
    finally:
        for process in processes:
            process.close()
    for process in running:
        rows[process.name] |= report.figures(process.name, rows, timed)


def early_steps(running, rows) -> dict:
    """Seconds of each one's second step."""
    return {process.name: rows[process.name]["early_step_seconds"] for process in running}


def exact_answer(workload_name, name, limits) -> agreement.Answer:
    """What a contestant computes in float64."""
    process = line_up.start(name, workload_name, {"dtype": "float64"})
    try:
        process.ask("build", limits.first)
        return agreement.ask(process, WORKLOADS[workload_name], limits.first)
    finally:
        process.close()


def first_row(process, workload, exact, limits) -> dict:
    """Distance from the exact answer, and seconds of everything that happens once."""
    row = {}
    try:
        row["build_seconds"] = process.ask("build", limits.first)["seconds"]
        if process.name not in YARDSTICKS | GPU_YARDSTICKS:
            answer = agreement.ask(process, workload, limits.first)
            row["loss"] = answer.loss
            row["distance"] = list(agreement.distance(workload, answer, exact))
            row["first_answer_seconds"] = answer.seconds
        first = process.ask("steps", limits.first, count=1)
        early = process.ask("steps", limits.step, count=1)
    except turns.Stopped as reason:
        print(f"{process.name}: {reason}", flush=True)
        return row | {"stopped": str(reason)}
    row["first_step_seconds"] = first["seconds"][0]
    row["early_step_seconds"] = early["seconds"][0]
    row["early_step_cpu_seconds"] = early["cpu_seconds"]
    print(
        f"{process.name}: first step {first['seconds'][0]:.1f} s, second "
        f"{early['seconds'][0]:.3f} s, distance from float64 {row.get('distance')}",
        flush=True,
    )
    return row


def check_agreement(rows):
    """Raises `agreement.Disagreement` where an answer is too far from the exact one."""
    tolerance = agreement.float32_tolerance(next(iter(rows.values()))["distance"])
    for name, row in rows.items():
        if "distance" in row:
            agreement.check(name, row["distance"], tolerance)


def with_shares(rows, workload, yardsticks=YARDSTICKS, large=operations.LARGE) -> dict:
    """The rows, each contestant's with its rate as a share of what the machine could do.

    Args:
        rows: by name.
        workload: of all.
        yardsticks: names of the two.
        large: the product that the first of them multiplies.
    """
    counted = operations.operations(workload)
    first, second = (rows[name] for name in yardsticks)
    first["operations_a_second"] = large.operations / first["seconds_median"]
    second["operations_a_second"] = counted / second["seconds_median"]
    for name, row in rows.items():
        if name not in yardsticks and "stopped" not in row:
            rate = counted / row["seconds_median"]
            row["operations_a_second"] = rate
            row["share_of_large_product"] = rate / first["operations_a_second"]
            row["share_of_products_alone"] = second["seconds_median"] / row["seconds_median"]
    return rows


def _print_turn(round_, process, answer):
    median = np.median(answer["seconds"])
    print(f"round {round_ + 1} {process.name}: {median * 1e3:.1f} ms", flush=True)
