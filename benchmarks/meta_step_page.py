"""The page of tables and the chart of the results of `benchmarks.meta_step`."""

import math
import re

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.entries import PROCESSES

# As it runs on this machine, or lowered for one without TensorFlow.
OURS = ("tfmeta", "tfmeta_lowered")
PANEL_COLUMNS = 3
NAMES = {
    "pytorch_loop": "PyTorch loop",
    "torch_func_vmap": "torch.func.vmap",
    "jax_vmap": "jax.vmap",
    "jax_lax_map": "jax.lax.map",
    "stock_vectorized_map": "tf.vectorized_map",
    "stock_map_fn": "tf.map_fn",
    "tfmeta_lowered": "tfmeta, lowered",
}
FRAMEWORKS = ("tensorflow", "torch", "torchopt", "higher", "jax")
HEAD = """# The meta-step beside other ways to compute it

Written by `python -m benchmarks.meta_step_chart --write` from this folder's
`meta_step_*_{threads}threads.json`, each of which says its command and holds every timed step. Each
contestant is a process of its own (`--threads={threads}`), in turns. Before a workload is timed all
contestants agree, within the tolerance that its file says. A ratio is of the first contestant's
time in the same round; the range behind it holds half of the rounds.

![ratios of all workloads](meta_step.png)
"""
GPU_HEAD = """# The meta-step beside other ways to compute it, on a GPU

Written by `python -m benchmarks.meta_step_chart --gpu --write` from this folder's
`meta_step_gpu.json`, which says the command of each workload and holds every timed step. The
machine had PyTorch and JAX but no TensorFlow: `tfmeta_lowered` is the vectorised step that XLA is
given where TensorFlow is (`python -m benchmarks.lowering`), compiled by JAX's client. Nothing was
measured of TensorFlow itself there, its executor or what it adds to a step. All products are in
full float32. Each contestant is a process of its own, in turns; all were near PyTorch's float64
answer first. A ratio is of the first contestant's time in the same round; the range behind it holds
half of the rounds.

![ratios of all workloads](meta_step_gpu.png)
"""
TRIED = (
    "tfmeta tries its ways to compute first, as a long run does, and its compile time and memory "
    "are of all that it tried."
)
LOWERED = (
    "Contestants were compiled at the same time, so their compile times are of a crowded machine; "
    "memory counts what XLA tried while it chose its kernels."
)


def markdown(documents, threads, agreement="") -> str:
    """The page of this machine's results."""
    parts = [HEAD.format(threads=threads), *measured_on(documents)]
    if agreement:
        parts.append(agreement)
    parts += [*_tables(documents, TRIED)]
    parts += ["## Memory above the imports, MiB", "", *memory_table(documents)]
    return "\n".join(parts) + "\n"


def gpu_markdown(documents) -> str:
    """The page of `benchmarks.meta_step_gpu`'s results."""
    parts = [GPU_HEAD, *measured_on(documents), *_tables(documents, LOWERED)]
    parts += ["## Distance from float64, of the meta-gradient", "", *distance_table(documents)]
    parts += ["## The GPU's memory at the most, MiB", "", *memory_table(documents)]
    return "\n".join(parts) + "\n"


def _tables(documents, remark):
    parts = ["## Time, of the first contestant's", "", *ratio_table(documents)]
    parts += ["## tfmeta", "", *own_table(documents)]
    parts[-2] += " " + remark
    return parts


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
        ("Accelerator", _accelerator),
        ("Frameworks", _frameworks),
        ("Note", lambda d: d["note"]),
    ):
        said = sorted({say(document) for document in documents.values()} - {""})
        if said:
            lines.append(f"- {what}: {'; '.join(said)}")
    return [*lines, ""]


def _accelerator(document):
    row = ours(document) or {}
    return row.get("accelerator", "")


def _frameworks(document):
    versions = {}
    for row in document["contestants"].values():
        versions |= row.get("versions", {})
    return ", ".join(f"{name} {versions[name]}" for name in FRAMEWORKS if name in versions)


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
        median, low, high = (_ratio(value) for value in (row["ratio_median"], low, high))
        return f"{median} ({low} to {high}{once})"

    return _table(documents, contestants(documents), cell)


def _ratio(value):
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def distance_table(documents) -> list[str]:
    """Of each contestant, and of tfmeta's float32 answer on a CPU."""
    names = contestants(documents)
    lines = [_line(["workload", *names, "tfmeta on a CPU"]), _line(["---"] * (len(names) + 2))]
    for workload, document in documents.items():
        rows = document["contestants"]
        found = [rows.get(name, {}).get("distance") for name in names]
        found.append(document["distance_of_tfmeta_on_cpu"])
        lines.append(_line([workload, *("" if far is None else f"{far[0]:.1e}" for far in found)]))
    return [*lines, ""]


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
        row = ours(document)
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
        "three times as fast as the first contestant.",
        "",
    ]


def ours(document) -> dict | None:
    """tfmeta's row."""
    rows = document["contestants"]
    return next((rows[name] for name in OURS if name in rows), None)


def best_other(document) -> tuple[str, float]:
    """The fastest that is not tfmeta's, and tfmeta's time of its."""
    times = {
        name: row["seconds_median"]
        for name, row in document["contestants"].items()
        if "stopped" not in row and not name.startswith("tfmeta")
    }
    if not times:
        return "", math.nan
    best = min(times, key=times.get)
    return best, ours(document)["seconds_median"] / times[best]


def figure(documents):
    """Bars of ratios, a panel a workload; less is faster."""
    rows = -(-len(documents) // PANEL_COLUMNS)
    shown = Figure(figsize=(14, 2.5 * rows + 0.6), layout="constrained")
    axes = shown.subplots(rows, PANEL_COLUMNS, sharex=True, squeeze=False)
    for axis, (workload, document) in zip(axes.flat, documents.items(), strict=False):
        _panel(axis, workload, document["contestants"])
    for axis in axes.flat[len(documents) :]:
        axis.axis("off")
    shown.suptitle(
        "Time of a meta-step, as a part of a PyTorch loop's over tasks (bars shorter than the "
        "line are faster)"
    )
    return shown


def _panel(axis, workload, rows):
    axis.set_title(_title(workload), fontsize=9)
    timed = {name: row for name, row in rows.items() if "stopped" not in row}
    if not timed:
        return
    ratios = [row["ratio_median"] for row in timed.values()]
    low, high = zip(*(row["ratio_quartiles"] for row in timed.values()), strict=True)
    spread = [
        [max(0.0, ratio - value) for ratio, value in zip(ratios, low, strict=True)],
        [max(0.0, value - ratio) for ratio, value in zip(ratios, high, strict=True)],
    ]
    # One colour for tfmeta and one for the others; names stand beside the bars.
    colors = ["#D55E00" if name in OURS else "#9DB4C8" for name in timed]
    labels = [NAMES.get(name, name.replace("_", " ")) for name in timed]
    axis.barh(labels, ratios, xerr=spread, color=colors)
    for position, (ratio, most) in enumerate(zip(ratios, high, strict=True)):
        text = axis.text(max(ratio, most), position, f" {_ratio(ratio)}", va="center", fontsize=7)
        # The line at 1 does not cross a number.
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.3})
    axis.axvline(1.0, color="black", linewidth=0.8, zorder=1.5)
    axis.set_xscale("log")
    axis.set_xlim(0.01 if min(ratios) > 0.01 else 0.001, 300)
    ticks = {0.001: "1/1000", 0.01: "1/100", 0.1: "1/10", 1: "1", 10: "10", 100: "100"}
    axis.set_xticks([tick for tick in ticks if tick >= axis.get_xlim()[0]])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ticks.get(value, "")))
    axis.invert_yaxis()
    axis.tick_params(labelsize=7, labelbottom=True)


def _title(workload: str) -> str:
    """A workload's name in words: "omniglot_5way_1shot" is "Omniglot 5-way 1-shot"."""
    words = re.sub(r"(\d)(way|shot)s?\b", r"\1-\2", workload.replace("_", " "))
    words = re.sub(r"(\d+)(steps?|tasks?|queries)", r"\1 \2", words)
    words = re.sub(r"\b1 (step|task)s\b", r"1 \1", words)
    words = words.replace("mini imagenet", "mini-ImageNet").replace("omniglot", "Omniglot")
    return words.replace("imaml", "iMAML").replace("reptile", "Reptile")


def _line(cells) -> str:
    return f"| {' | '.join(cells)} |"
