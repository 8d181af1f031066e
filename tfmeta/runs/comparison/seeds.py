"""Runs of one recipe that differ in their seed: their mean and its spread as one more row."""

import dataclasses
import statistics
from collections.abc import Sequence

from tfmeta.runs.comparison.row import Row

# What runs must share for their mean to be of one thing. The step of a checkpoint that validation
# chose, or a rule stopped at, differs from seed to seed.
_SHARED = (
    "task",
    "method",
    "normalization",
    "test_tasks",
    "queries",
    "inner_steps",
    "filters",
)
_STEP = "step "  # begins the remark on a run that was cut short


def means_over_seeds(runs: Sequence[Row]) -> list[Row]:
    """A row for each set of runs with the same protocol and recipe and at least two seeds.

    Of several results of one seed the one of the most meta-steps counts.

    Args:
        runs: of `run_rows`.
    """
    groups: dict[tuple, dict[int, Row]] = {}
    for row in runs:
        if row.seed is None or row.value is None:
            continue
        group = groups.setdefault(_key(row), {})
        if row.seed not in group or (row.steps or 0) > (group[row.seed].steps or 0):
            group[row.seed] = row
    return [
        _mean([group[seed] for seed in sorted(group)])
        for group in groups.values()
        if len(group) > 1
    ]


def _key(row: Row) -> tuple:
    shared = tuple(getattr(row, name) for name in _SHARED)
    return (*shared, tuple(text for text in row.remarks if not text.startswith(_STEP)))


def _mean(rows: Sequence[Row]) -> Row:
    values = [row.value for row in rows]
    steps = sorted({row.steps for row in rows})
    remarks = [text for text in rows[0].remarks if not text.startswith(_STEP)]
    if len(steps) > 1:
        remarks.insert(0, f"meta-steps {steps[0]:,} to {steps[-1]:,}")
    else:
        remarks[:0] = [text for text in rows[0].remarks if text.startswith(_STEP)]
    return dataclasses.replace(
        rows[0],
        value=statistics.mean(values),
        interval95=None,
        spread=statistics.stdev(values),
        seed=None,
        seeds=len(rows),
        steps=steps[0] if len(steps) == 1 else None,
        source=", ".join(row.source for row in rows),
        remarks=(f"seeds {', '.join(str(row.seed) for row in rows)}", *remarks),
        curve=(),
    )
