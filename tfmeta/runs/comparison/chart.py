"""A comparison as a picture: a panel a task, a point a row, its interval or spread as a bar."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tfmeta.runs.comparison.row import Row
from tfmeta.runs.comparison.sections import Section

_BLUE = "#0072B2"  # of Okabe and Ito's colours, as in the pictures of runs
_WIDTH, _ROW_HEIGHT, _FRAME = 8.0, 0.24, 0.9  # inches


def draw(sections: Sequence[Section], path: Path) -> None:
    """Writes a PNG: runs filled, published figures hollow, those to be checked grey."""
    rows = [[row for row in section.rows if row.value is not None] for section in sections]
    heights = [_FRAME + _ROW_HEIGHT * len(part) for part in rows]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, section, part in zip(panels, sections, rows, strict=True):
        _panel(axes, section.title, part)
    key = (
        "filled: runs here (squares: means over seeds); hollow: published (grey: to be checked)\n"
        "bars: 95 % intervals over test tasks; of means over seeds the standard deviation"
    )
    figure.supxlabel(key, fontsize=8)
    figure.savefig(path, dpi=120)


def _panel(axes, title: str, rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        colour = _BLUE if not row.published else "0.6" if row.check else "black"
        axes.errorbar(
            row.value,
            place,
            xerr=row.spread or row.interval95,
            fmt="D" if row.published else "s" if row.seeds > 1 else "o",
            color=colour,
            markerfacecolor=colour if not row.published else "white",
            markersize=5,
            capsize=3,
        )
    with_steps = len({row.inner_steps for row in rows if not row.published}) > 1
    labels = [_label(row, with_steps) for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(_BLUE if not row.published else "black")
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _label(row: Row, with_steps: bool) -> str:
    mode = f" ({row.normalization})" if row.normalization not in (None, "none") else ""
    known = row.inner_steps is not None and (with_steps or row.published)
    steps = f", {row.inner_steps} inner" if known else ""
    if row.published:
        return f"{row.method}{mode}{steps}{', check' if row.check else ''}"
    if row.seeds > 1:
        return f"{row.method}{mode}{steps}, mean of {row.seeds} seeds"
    seed = f", seed {row.seed}" if row.seed else ""
    return f"{row.method}{mode}{steps}, here: {row.steps:,} steps{seed}"
