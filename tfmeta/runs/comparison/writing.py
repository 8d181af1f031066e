"""Writes a comparison: Markdown to read, CSV to compute with, a picture with intervals."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfmeta.runs.comparison.chart import draw
from tfmeta.runs.comparison.row import Row, result_text
from tfmeta.runs.comparison.sections import Section

_COLUMNS = (
    "method",
    "result",
    "statistics",
    "test tasks",
    "queries",
    "inner steps",
    "filters",
    "meta-steps",
    "seed",
    "source",
    "differs",
)


_NOT_IN_CSV = ("remarks", "curve")


def write_comparison(sections: Sequence[Section], output: str | Path) -> list[Path]:
    """Writes `output`.md, `output`.csv and `output`.png; returns their paths."""
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = [output.with_name(output.name + ending) for ending in (".md", ".csv", ".png")]
    paths[0].write_text(markdown(sections), encoding="utf-8")
    _write_csv(sections, paths[1])
    draw(sections, paths[2])
    return paths


def markdown(sections: Sequence[Section]) -> str:
    """The tables as Markdown, runs in bold; "(check)" is of memory or a second source."""
    parts = [
        "# Runs beside published figures",
        "Runs are bold: mean and 95 % interval over test tasks after the last inner step. Beside "
        "them stands what papers printed; (check) marks figures from memory or a second source. "
        "An empty cell is not known. A mean of several seeds has the standard deviation s over the "
        "seeds in place of the interval. Statistics none: the network has no normalisation by "
        "statistics of a batch. Last column: what differs from the published row of that method, "
        "and from the run's own recipe.",
    ]
    for section in sections:
        lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
        lines += [
            _line(_cells(row, notes))
            for row, notes in zip(section.rows, section.differences, strict=True)
        ]
        parts += [f"## {section.title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _cells(row: Row, notes: Sequence[str]) -> list[str]:
    numbers = (row.test_tasks, row.queries, row.inner_steps, row.filters, row.steps)
    seed = f"mean of {row.seeds}" if row.seeds > 1 else "" if row.seed is None else str(row.seed)
    cells = [row.method, result_text(row), row.normalization or ""]
    if not row.published:
        cells[:2] = (f"**{cell}**" for cell in cells[:2])
    cells += ["" if number is None else f"{number:,}" for number in numbers]
    return [*cells, seed, row.source, "; ".join(notes)]


def _line(cells) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _write_csv(sections: Sequence[Section], path: Path) -> None:
    names = [field.name for field in dataclasses.fields(Row) if field.name not in _NOT_IN_CSV]
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*names, "differences"])
        for section in sections:
            for row, notes in zip(section.rows, section.differences, strict=True):
                values = (getattr(row, name) for name in names)
                table.writerow(["" if v is None else v for v in values] + ["; ".join(notes)])
