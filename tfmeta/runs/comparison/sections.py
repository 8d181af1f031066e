"""Rows of one task together, each run beside the published row that it is to be compared with."""

import dataclasses
from collections.abc import Sequence

from tfmeta.runs.comparison.row import PROTOCOL, Row, result_text
from tfmeta.runs.comparison.seeds import means_over_seeds

# As they are written; others by their own name.
_DATA = {
    "glyphs": "Glyphs",
    "mini_imagenet": "mini-ImageNet",
    "omniglot": "Omniglot",
    "sinusoid": "Sinusoids",
}


@dataclasses.dataclass(frozen=True)
class Section:
    """All rows of one task, best first where accuracy is measured, smallest error first else.

    Attributes:
        task: of `Row.task`.
        rows: of papers and runs.
        differences: for each row what is to be known when it is compared: of a run the
            differences to its published row and its remarks, of a published row nothing.
    """

    task: tuple
    rows: tuple[Row, ...]
    differences: tuple[tuple[str, ...], ...]

    @property
    def title(self) -> str:
        """Such as "Omniglot 5-way 1-shot, accuracy in %"."""
        data, ways, shots, metric = self.task
        unit = " in %" if metric == "accuracy" else ""
        kind = f"{ways}-way {shots}-shot" if ways else f"{shots}-shot"
        return f"{_DATA.get(data, data)} {kind}, {metric.replace('_', ' ')}{unit}"


def compare(runs: Sequence[Row], published: Sequence[Row]) -> list[Section]:
    """A section for each task of the runs, with all that is published for it.

    Runs that differ in their seed alone get a row more: the mean over them.
    """
    sections = []
    runs = [*runs, *means_over_seeds(runs)]
    for task in sorted({row.task for row in runs}):
        rows = [row for row in (*published, *runs) if row.task == task]
        rows.sort(key=lambda row: _rank(task, row))
        differences = tuple(_differences(row, published) for row in rows)
        sections.append(Section(task, tuple(rows), differences))
    return sections


def counterpart(run: Row, published: Sequence[Row]) -> Row | None:
    """The published row of the same task and method.

    Of the same statistics where there is one. Rows that are to be checked count only where there
    is no other; among equals the row of the same inner steps is taken.
    """
    rows = [row for row in published if (row.task, row.method) == (run.task, run.method)]
    rows.sort(
        key=lambda row: (
            row.normalization != run.normalization,
            row.check,
            None not in (row.inner_steps, run.inner_steps) and row.inner_steps != run.inner_steps,
        )
    )
    return rows[0] if rows else None


def _differences(row: Row, published: Sequence[Row]) -> tuple[str, ...]:
    if row.published:
        return ()
    other = counterpart(row, published)
    if other is None:
        return ("no published row", *row.remarks)
    differing = []
    for name, words in PROTOCOL.items():
        own, theirs = getattr(row, name), getattr(other, name)
        if None not in (own, theirs) and own != theirs:
            differing.append(f"{words} {_said(own)} (published: {_said(theirs)})")
    differing += _at_published_steps(row, other)
    return (*differing, *row.remarks)


def _at_published_steps(row: Row, other: Row) -> list[str]:
    """The run's own result after as many inner steps as the published one, or that it's unknown."""
    steps = other.inner_steps
    if steps is None and row.inner_steps is not None:
        return [f"inner steps {row.inner_steps} (published: not known)"]
    if steps in (None, row.inner_steps) or steps >= len(row.curve) or row.curve[steps][0] is None:
        return []
    after = f"after {steps} inner step{'' if steps == 1 else 's'}"
    value, interval = row.curve[steps]
    return [f"{after}: {result_text(dataclasses.replace(row, value=value, interval95=interval))}"]


def _said(value) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rank(task, row):
    if row.value is None:
        return (1, 0.0)
    return (0, -row.value if task[3] == "accuracy" else row.value)
