"""How the time of tfmeta's meta-step grows with tasks, ways, shots, inner steps and width.

    python -m benchmarks.scaling --write

One is varied at a time around Omniglot 5-way 1-shot (second-order MAML, 32 tasks, 1 query a class,
1 inner step, 64 filters); each measurement is a process of its own. `--write` stores scaling.json,
scaling.csv and scaling.png in results/benchmarks/, after each axis, and goes on after the axes that
this very code stored before.
"""

import csv
import json
import math
import sys

import numpy as np
from absl import app, flags
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks import line_up, operations, report
from benchmarks.workloads import WORKLOADS, changed

_CONTESTANT = flags.DEFINE_string("contestant", "tfmeta", "Of benchmarks/entries.py.")
_SECONDS = flags.DEFINE_float("seconds", 4.0, "Of steps, a measurement.")
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")

BASE = "omniglot_5way_1shot"
AXES = {
    "tasks": (4, 8, 16, 32, 64, 128),
    "ways": (2, 5, 10, 20),
    "shots": (1, 2, 5, 10, 20),
    "inner_steps": (1, 2, 3, 5, 8),
    "filters": (16, 32, 64, 128),
}
MIN_STEPS, MAX_STEPS = 3, 200
FILE = "scaling.json"
COLUMNS = ("axis", "value", "seconds_median", "seconds_low", "seconds_high", "operations")
COLUMNS += ("compile_seconds", "peak_bytes")


def main(argv):
    del argv
    current = _WRITE.value and report.is_current(FILE)
    rows = json.loads((report.RESULTS / FILE).read_text())["rows"] if current else []
    for axis, values in AXES.items():
        if any(row["axis"] == axis for row in rows):
            continue
        for value in values:
            rows.append({"axis": axis, "value": value, **measured({axis: value})})
            print(
                f"{axis} {value}: {rows[-1]['seconds_median'] * 1e3:.1f} ms, "
                f"{rows[-1]['operations']:.2e} operations",
                flush=True,
            )
        print(f"{axis}: time grows as its power {exponent(rows, axis):.2f} at the upper end")
        if _WRITE.value:
            store(rows)


def measured(changes) -> dict:
    """Seconds of a step, and what it costs before, of the base workload with changes."""
    process = line_up.start(_CONTESTANT.value, BASE, changes)
    try:
        process.ask("build")
        first = process.ask("steps", count=1)["seconds"][0]
        early = process.ask("steps", count=1)["seconds"][0]
        steps = int(np.clip(_SECONDS.value / early, MIN_STEPS, MAX_STEPS))
        seconds = process.ask("steps", count=steps)["seconds"]
        memory = process.ask("describe")
    finally:
        process.close()
    median = float(np.median(seconds))
    low, high = np.percentile(seconds, [25, 75]).tolist()
    return {
        "seconds_median": median,
        "seconds_low": low,
        "seconds_high": high,
        "operations": operations.operations(changed(WORKLOADS[BASE], changes)),
        "compile_seconds": max(0.0, first - median),
        "peak_bytes": memory["peak_bytes"] - memory["idle_bytes"],
    }


def exponent(rows, axis) -> float:
    """The power of the axis as which time grows between its last two values."""
    before, last = [row for row in rows if row["axis"] == axis][-2:]
    return math.log(last["seconds_median"] / before["seconds_median"]) / math.log(
        last["value"] / before["value"]
    )


def measured_axes(rows) -> list[str]:
    """The axes that have rows, in their order."""
    return list(dict.fromkeys(row["axis"] for row in rows))


def store(rows):
    report.write(
        FILE,
        {
            "command": report.command("benchmarks.scaling", sys.argv[1:]),
            "code": report.code_version(),
            "machine": report.machine(),
            "contestant": _CONTESTANT.value,
            "threads": line_up.THREADS.value,
            "around": BASE,
            "exponents": {axis: exponent(rows, axis) for axis in measured_axes(rows)},
            "rows": rows,
        },
    )
    with (report.RESULTS / "scaling.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    figure(rows).savefig(report.RESULTS / "scaling.png", dpi=110)


def figure(rows):
    """A curve an axis; dashed: what time would be if it grew as the operations do."""
    axes = measured_axes(rows)
    shown = Figure(figsize=(3.0 * len(axes), 3.2), layout="constrained")
    panels = shown.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    for panel, axis in zip(panels, axes, strict=True):
        own = [row for row in rows if row["axis"] == axis]
        values = [row["value"] for row in own]
        medians = np.array([row["seconds_median"] for row in own])
        spread = [
            medians - [row["seconds_low"] for row in own],
            [row["seconds_high"] for row in own] - medians,
        ]
        panel.errorbar(values, medians, yerr=spread, marker="o", color="#0072B2", label="measured")
        counted = np.array([row["operations"] for row in own])
        panel.plot(
            values,
            counted * medians[-1] / counted[-1],
            "--",
            color="#D55E00",
            label="as the number of operations",
        )
        name = axis.replace("_", " ")
        panel.set(xlabel=f"number of {name}", title=name, xscale="log", yscale="log")
        panel.set_xticks(values, [str(value) for value in values])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds of a meta-step")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panels[0].legend(fontsize="small")
    return shown


if __name__ == "__main__":
    app.run(main)
