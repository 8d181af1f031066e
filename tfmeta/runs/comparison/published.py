"""The papers' figures, from `published.csv`.

A line is a cell of a paper's table with the settings that are known of it; "check" marks what is
from memory or a second source. Accuracies are in %.
"""

import csv
from pathlib import Path

from tfmeta.runs.comparison.row import Row

PUBLISHED = Path(__file__).with_name("published.csv")
_WHOLE = ("ways", "shots", "test_tasks", "queries", "inner_steps", "filters", "steps")


def published_rows(path: Path = PUBLISHED) -> list[Row]:
    """All published rows, in the file's order."""
    with open(path, newline="", encoding="utf-8") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    return Row(
        data=line["data"],
        method=line["method"],
        metric=line["metric"],
        value=float(line["value"]),
        source=line["source"],
        published=True,
        check=line["check"] == "check",
        interval95=float(line["interval95"]) if line["interval95"] else None,
        normalization=line["normalization"] or None,
        **{name: int(line[name]) if line[name] else None for name in _WHOLE},
    )
