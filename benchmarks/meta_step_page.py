"""The page of tables and the chart of the results of `benchmarks.meta_step`."""

import math

from benchmarks.entries import PROCESSES

OURS = "tfmeta"
PANEL_COLUMNS = 3
HEAD = """# The meta-step beside other ways to compute it

Written by `python -m benchmarks.meta_step_chart --write` from this folder's
`meta_step_*_{threads}threads.json`, each of which says its command and holds every timed step. Each
contestant is a process of its own (`--threads={threads}`), in turns. Before a workload is timed all
contestants agree, within the tolerance that its file says. A ratio is of the first contestant's
time in the same round; the range behind it holds half of the rounds.

![ratios of all workloads](meta_step.png)
"""


def markdown(documents, threads, agreement="") -> str:
    """The page."""
    parts = [HEAD.format(threads=threads), *measured_on(documents)]
    if agreement:
        parts.append(agreement)
    parts += ["## Time, of the first contestant's", "", *ratio_table(documents)]
    parts += ["## tfmeta", "", *own_table(documents)]
    parts += ["## Memory above the imports, MiB", "", *memory_table(documents)]
    return "\n".join(parts) + "\n"


def measured_on(documents) -> list[str]:
    """Machine, code and notes, each said once."""
    lines = []
    for what, say in (
        ("Machine", lambda d: f"{d['machine']['processor']}, {d['machine']['cores']} cores"),
        ("Code", lambda d: d["code"]),
        (
            "Load average at workloads' ends",
            lambda d: f"{d['machine']['load_average'][0]:.1f}",
        ),
        ("Note", lambda d: d["note"]),
    ):
        said = sorted({say(document) for document in documents.values()} - {""})
        if said:
            lines.append(f"- {what}: {'; '.join(said)}")
    return [*lines, ""]


def contestants(documents) -> list[str]:
    """Names of all that took part, in the order of registration."""
    taking_part = {name for document in documents.values() for name in document["contestants"]}
    return [name for name in PROCESSES if name in taking_part]


def ratio_table(documents) -> list[str]:
    def cell(row):
        if row is None:
            return ""
        if "stopped" in row:
            return row["stopped"].split(";")[0]
        low, high = row["ratio_quartiles"]
        once = "" if row["rounds"] else ", once"
        return f"{row['ratio_median']:.2f} ({low:.2f} to {high:.2f}{once})"

    return _table(documents, contestants(documents), cell)


def memory_table(documents) -> list[str]:
    def cell(row):
        if row is None or "stopped" in row:
            return ""
        return f"{(row['peak_bytes'] - row['idle_bytes']) / 2**20:.0f}"

    return _table(documents, contestants(documents), cell)


def _table(documents, names, cell) -> list[str]:
    lines = [_line(["workload", *names]), _line(["---"] * (len(names) + 1))]
    for workload, document in documents.items():
        rows = document["contestants"]
        lines.append(_line([workload, *(cell(rows.get(name)) for name in names)]))
    return [*lines, ""]


def own_table(documents) -> list[str]:
    """Times, shares of what the machine could do, and the best of the others."""
    heads = ["workload", "seconds", "quartiles", "compile, s", "operations"]
    heads += ["of a large product's rate", "a third of the first's time, of it"]
    heads += ["of the products alone", "best other", "tfmeta, of it"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for workload, document in documents.items():
        row = document["contestants"].get(OURS)
        if row is None or "stopped" in row:
            continue
        other, ratio = best_other(document)
        low, high = row["seconds_quartiles"]
        first = next(iter(document["contestants"].values())).get("share_of_large_product")
        lines.append(
            _line(
                [
                    workload,
                    f"{row['seconds_median']:.4f}",
                    f"{low:.4f} to {high:.4f}",
                    f"{row['compile_seconds']:.1f}",
                    f"{document['operations']:.2e}",
                    f"{row['share_of_large_product']:.0%}",
                    "" if first is None else f"{3 * first:.0%}",
                    f"{row['share_of_products_alone']:.0%}",
                    other,
                    f"{ratio:.2f}",
                ]
            )
        )
    return [
        *lines,
        "",
        "Operations are those of layers' products, by the formula of `benchmarks/operations.py`; "
        "the products alone are the same products, batched over tasks, with nothing between them; "
        "a third of the first's time is the rate at which a step would have to be computed to be "
        "three times as fast as the first contestant. "
        "tfmeta tries its ways to compute first, as a long run does, and its compile time and "
        "memory are of all that it tried.",
        "",
    ]


def best_other(document) -> tuple[str, float]:
    """The fastest that is not tfmeta's, and tfmeta's time of its."""
    times = {
        name: row["seconds_median"]
        for name, row in document["contestants"].items()
        if "stopped" not in row and not name.startswith(OURS)
    }
    if not times:
        return "", math.nan
    best = min(times, key=times.get)
    return best, document["contestants"][OURS]["seconds_median"] / times[best]


def figure(documents):
    """Bars of ratios, a panel a workload; less is faster."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = contestants(documents)
    palette = plt.get_cmap("tab20").colors
    colors = {name: palette[index % len(palette)] for index, name in enumerate(names)}
    rows = -(-len(documents) // PANEL_COLUMNS)
    shown, axes = plt.subplots(
        rows,
        PANEL_COLUMNS,
        figsize=(14, 2.4 * rows + 0.6),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (workload, document) in zip(axes.flat, documents.items(), strict=False):
        _panel(axis, workload, document["contestants"], colors)
    for axis in axes.flat[len(documents) :]:
        axis.axis("off")
    shown.suptitle("Time of a meta-step, of the first contestant's (logarithmic; less is faster)")
    return shown


def _panel(axis, workload, rows, colors):
    axis.set_title(workload, fontsize=9)
    timed = {name: row for name, row in rows.items() if "stopped" not in row}
    if not timed:
        return
    ratios = [row["ratio_median"] for row in timed.values()]
    low, high = zip(*(row["ratio_quartiles"] for row in timed.values()), strict=True)
    spread = [
        [max(0.0, ratio - value) for ratio, value in zip(ratios, low, strict=True)],
        [max(0.0, value - ratio) for ratio, value in zip(ratios, high, strict=True)],
    ]
    axis.barh(list(timed), ratios, xerr=spread, color=[colors[name] for name in timed])
    for position, ratio in enumerate(ratios):
        axis.text(ratio, position, f" {ratio:.2f}", va="center", fontsize=7)
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.tick_params(labelsize=7, labelbottom=True)


def _line(cells) -> str:
    return f"| {' | '.join(cells)} |"
