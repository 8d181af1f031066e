"""Figures of the benchmark: medians, spread, ratios, and the table of them."""

import os
import pathlib
import platform
import re
import shlex

import numpy as np


def summary(seconds, first_seconds):
    """Medians, spread, and the ratio to the first contestant, round by round.

    Args:
        seconds: of each step, [rounds, steps].
        first_seconds: those of the first contestant in the same rounds.
    """
    ratios = np.median(seconds, axis=1) / np.median(first_seconds, axis=1)
    return {
        "seconds_median": float(np.median(seconds)),
        "seconds_quartiles": np.percentile(seconds, [25, 75]).tolist(),
        "seconds_best": float(np.min(seconds)),
        "ratio_median": float(np.median(ratios)),
        "ratio_quartiles": np.percentile(ratios, [25, 75]).tolist(),
        "ratio_of_best": float(np.min(seconds) / np.min(first_seconds)),
        "seconds": np.round(seconds, 5).tolist(),
    }


def cpu_summary(cpu_seconds, first_cpu_seconds):
    """The processor's time a step, by round, which waiting for other programs does not lengthen.

    (What a thread spins at a barrier does count, so with more than one thread and a busy machine
    it is no measure either.)
    """
    return {
        "cpu_seconds_median": float(np.median(cpu_seconds)),
        "cpu_ratio_median": float(np.median(np.divide(cpu_seconds, first_cpu_seconds))),
    }


def command(module, arguments):
    """The command line that a result came from; paths of this machine are left out."""
    shown = [re.sub(r"=(/.*/|~.*/)", "=.../", argument) for argument in arguments]
    return shlex.join(["python", "-m", module, *shown])


def machine():
    """What the figures depend on."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
    }


def table(rows):
    """A line a contestant."""
    lines = [
        f"{'contestant':<22}{'median':>10}{'best':>10}{'ratio':>7} {'quartiles':<11}"
        f"{'cpu ratio':>10}{'first step':>12}{'memory':>10}"
    ]
    for name, row in rows.items():
        low, high = row["ratio_quartiles"]
        first = row["first_gradient_seconds"] + row["first_step_seconds"]
        memory = (row["peak_bytes"] - row["idle_bytes"]) / 2**20
        lines.append(
            f"{name:<22}{row['seconds_median'] * 1e3:>7.0f} ms{row['seconds_best'] * 1e3:>7.0f} ms"
            f"{row['ratio_median']:>7.2f} {low:.2f}-{high:.2f}  "
            f"{row['cpu_ratio_median']:>10.2f}{first:>10.1f} s{memory:>6.0f} MiB"
        )
    return "\n".join(lines)
