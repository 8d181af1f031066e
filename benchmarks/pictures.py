"""Pictures of stored figures. A module without flags, so that one command may draw them all."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Colours that colour-blind readers tell apart (Okabe and Ito), each with a mark.
STYLES = (("#777777", "o"), ("#0072B2", "o"), ("#E69F00", "s"), ("#D55E00", "^"))
ORACLE = "#56B4E9"


def gradient_combinations(document: dict, path: Path) -> None:
    """Accuracy over meta-steps, a line a combination, each named at its end."""
    figure = Figure(figsize=(7.6, 5.6))
    axes = figure.add_subplot()
    protocol = document["protocol"]
    for name, points in document["curves"].items():
        steps, values = zip(*points, strict=True)
        # A colour for the number of inner steps; solid for a sum, dashed for the last gradient.
        color, marker = STYLES[int(name[-1]) - 1]
        style = "-" if "+" in name else "--"
        axes.plot(steps, values, style, color=color, marker=marker, markersize=4)
        low, high = ([v + s * protocol["band"] for v in values] for s in (-1, 1))
        axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
        _at_the_end(axes, _in_words(name), points[-1], color)
    axes.axhline(20, color="gray", linewidth=0.8)
    axes.annotate("guessing", (points[0][0], 20), (0, 4), textcoords="offset points", color="gray")
    paper = protocol["paper_steps"]
    of_paper = "" if protocol["steps"] == paper else f" (the paper: {paper:,})"
    axes.set(
        title=f"Omniglot 5-way 5-shot, {protocol['tasks']} held-out tasks a point, one seed",
        xlabel=f"meta-step of {protocol['steps']:,}{of_paper}",
        ylabel="accuracy in %",
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    lines = [Line2D([], [], color="black", linestyle=style) for style in ("-", "--")]
    kinds = ("a sum of gradients (Reptile)", "the last gradient alone")
    axes.legend(lines, kinds, loc="upper left", frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _at_the_end(axes, words: str, point, color: str) -> None:
    """Writes a line's name behind its last point."""
    axes.annotate(words, point, (8, 0), textcoords="offset points", va="center", color=color)


def _in_words(name: str) -> str:
    """A combination as the picture has it: "g1 + g2 + g3" becomes "g1 + ... + g3"."""
    terms = name.split(" + ")
    return name if len(terms) < 3 else f"{terms[0]} + ... + {terms[-1]}"


def returns(document: dict, path: Path) -> None:
    """Returns of policies over updates, a line a policy; what does not adapt is a level."""
    rows, protocol = document["rows"], document["protocol"]
    title = f"{protocol['name'].replace('_', ' ')}, {protocol['tasks']} held-out tasks"
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    levels = [row for row in rows if len(row["mean"]) == 1]
    for row in levels:  # the best motion lies on the oracle's, and is drawn as a thin line on it
        mean, wide = row["mean"][0], row["policy"] == "oracle"
        style = {"color": ORACLE, "linewidth": 5} if wide else {"color": "black", "linestyle": "--"}
        axes.axhline(mean, label=_named(row), **style)
    adapting = [row for row in rows if row not in levels]
    for row, (colour, marker) in zip(adapting, STYLES[1:], strict=False):
        mean, interval = np.array(row["mean"]), np.array(row["interval95"])
        style = {"color": colour, "marker": marker, "capsize": 3}
        axes.errorbar(range(len(mean)), mean, interval, label=_named(row), **style)
    axes.set(title=title, xlabel="updates (inner steps)", ylabel="return")
    axes.set_xticks(range(max(len(row["mean"]) for row in rows)))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def _named(row: dict) -> str:
    """A policy, and where its training stood."""
    return row["policy"] + (f", step {row['step']}" if "step" in row else "")
