"""A comparison as a picture: a panel a task, a point a row, its 95 % interval as a bar."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tfmeta.comparison.row import Row
from tfmeta.comparison.sections import Section

_WIDTH, _ROW_HEIGHT, _FRAME = 8.0, 0.24, 0.9  # inches


def draw(sections: Sequence[Section], path: Path) -> None:
    """Writes a PNG: runs filled, published figures hollow, those to be checked grey."""
    rows = [[row for row in section.rows if row.value is not None] for section in sections]
    heights = [_FRAME + _ROW_HEIGHT * len(part) for part in rows]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, section, part in zip(panels, sections, rows, strict=True):
        _panel(axes, section.title, part)
    key = "filled: runs here; hollow: published (grey: to be checked); bars: 95 % intervals"
    figure.supxlabel(key, fontsize=8)
    figure.savefig(path, dpi=120)


def _panel(axes, title: str, rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        colour = "tab:blue" if not row.published else "0.6" if row.check else "black"
        axes.errorbar(
            row.value,
            place,
            xerr=row.interval95,
            fmt="o" if not row.published else "D",
            color=colour,
            markerfacecolor=colour if not row.published else "white",
            markersize=5,
            capsize=3,
        )
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color("tab:blue" if not row.published else "black")
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _label(row: Row) -> str:
    mode = f" ({row.normalization})" if row.normalization else ""
    if row.published:
        return f"{row.method}{mode}{', check' if row.check else ''}"
    return f"{row.method}{mode}, here: {row.steps:,} steps"
