"""Figures of the benchmark: medians, spread, ratios, the table of them, and where they are kept."""

import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "results" / "benchmarks"
# What figures depend on; a commit of results or documents alone changes none.
CODE = ("tfmeta", "benchmarks", "tests/references")


def figures(name, rows, timed) -> dict:
    """A contestant's figures of its turns, beside the first contestant's.

    Args:
        name: of the contestant.
        rows: by contestant; its early step stands for turns where it was given none.
        timed: what `turns.take_turns` returned.
    """
    seconds, cpu_seconds = timed
    own, first = rows[name], next(iter(rows))
    early_cpu = [own["early_step_cpu_seconds"]]
    result = {
        **summary(seconds[name] or [[own["early_step_seconds"]]], seconds[first]),
        **cpu_summary(cpu_seconds[name] or early_cpu, cpu_seconds[first]),
    }
    # Some contestants compile another program for the answer, some the very step.
    first_calls = own["first_step_seconds"], own.get("first_answer_seconds", 0.0)
    compiling = max(first_calls) - result["seconds_median"]
    return result | {"compile_seconds": max(0.0, compiling), "rounds": len(seconds[name])}


def summary(seconds, first_seconds):
    """Medians, spread, and the ratio to the first contestant, round by round.

    Args:
        seconds: of each step, [rounds, steps].
        first_seconds: those of the first contestant in the same rounds, and perhaps in more.
    """
    medians = np.median(seconds, axis=1)
    ratios = medians / np.median(first_seconds, axis=1)[: len(medians)]
    return {
        "seconds_median": float(np.median(seconds)),
        "seconds_quartiles": np.percentile(seconds, [25, 75]).tolist(),
        "seconds_best": float(np.min(seconds)),
        "ratio_median": float(np.median(ratios)),
        "ratio_quartiles": np.percentile(ratios, [25, 75]).tolist(),
        "ratio_of_best": float(np.min(seconds) / np.min(first_seconds)),
        "seconds": np.round(seconds, 6).tolist(),
    }


def cpu_summary(cpu_seconds, first_cpu_seconds):
    """The processor's time a step, by round, which waiting for other programs does not lengthen.

    (What a thread spins at a barrier does count, so with more than one thread and a busy machine
    it is no measure either.)
    """
    ratios = np.divide(cpu_seconds, first_cpu_seconds[: len(cpu_seconds)])
    return {
        "cpu_seconds_median": float(np.median(cpu_seconds)),
        "cpu_ratio_median": float(np.median(ratios)),
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


def code_version() -> str:
    """The commit that last changed the code, with "+changes" where files differ from it."""

    def git(*arguments):
        line = ["git", *arguments, "--", *CODE]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    commit = git("log", "-1", "--format=%h").strip() or "unknown"
    return commit + "+changes" * bool(git("status", "--porcelain").strip())


def write(file_name, document):
    """Stores a document in results/benchmarks/."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1)
    # Each list of numbers on one line.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match[0].split()), text)
    (RESULTS / file_name).write_text(text + "\n")
    print(f"Written to {RESULTS.relative_to(ROOT) / file_name}", flush=True)


def keep_recipe(name, recipe, row):
    """Keeps a recipe's figures in results/benchmarks/<name>.json, beside those of other recipes.

    Args:
        name: of the module in `benchmarks` that measured them.
        recipe: its file name.
        row: figures; command and machine are added.
    """
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["recipes"] if path.exists() else {}
    measured = {"command": command(f"benchmarks.{name}", sys.argv[1:]), "machine": machine()}
    write(path.name, {"recipes": rows | {recipe: row | measured}})


def is_current(file_name) -> bool:
    """Whether a stored document was measured with this very code."""
    path = RESULTS / file_name
    version = code_version()
    if not path.exists() or version.endswith("+changes"):
        return False
    return json.loads(path.read_text()).get("code") == version


def table(rows):
    """A line a contestant."""
    lines = [
        f"{'contestant':<22}{'median':>11}{'best':>11}{'ratio':>7} {'quartiles':<12}"
        f"{'of large':>9}{'of alone':>9}{'compile':>10}{'memory':>10}{'distance':>10}"
    ]
    for name, row in rows.items():
        if "stopped" in row:
            lines.append(f"{name:<22} {row['stopped']}")
            continue
        low, high = row["ratio_quartiles"]
        memory = (row["peak_bytes"] - row["idle_bytes"]) / 2**20
        lines.append(
            f"{name:<22}{row['seconds_median'] * 1e3:>8.1f} ms{row['seconds_best'] * 1e3:>8.1f} ms"
            f"{row['ratio_median']:>7.2f} {f'{low:.2f}-{high:.2f}':<12}"
            f"{row['share_of_large_product']:>9.1%}{row['share_of_products_alone']:>9.1%}"
            f"{row['compile_seconds']:>8.1f} s{memory:>6.0f} MiB{row['distance'][0]:>10.1e}"
        )
    return "\n".join(lines)
