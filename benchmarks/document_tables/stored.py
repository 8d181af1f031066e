"""Figures of results/, and how tables print them."""

import csv
import functools
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


@functools.cache
def read(name: str) -> dict:
    """A JSON file of results/."""
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


def plus_minus(mean: float, interval: float, digits: int = 2) -> str:
    """A mean with its 95 % interval."""
    return f"{mean:.{digits}f} +- {interval:.{digits}f}"


def percent(figure: dict, digits: int = 2) -> str:
    """A share with its 95 % interval, in per cent."""
    return plus_minus(100 * figure["mean"], 100 * figure["interval95"], digits)


def accuracy(run: str, mode: str) -> str:
    """A run's accuracy in % after its last inner step, by normalisation mode."""
    figure = read(f"{run}/evaluation.json")["results"][mode]["accuracy"]
    return percent({key: figure[key][-1] for key in ("mean", "interval95")})


def steps(run: str) -> str:
    """How many of its recipe's meta-steps a run took."""
    protocol = read(f"{run}/evaluation.json")["protocol"]
    taken, whole = protocol["step"], _recipe_steps(run)
    if protocol["checkpoint"] == "best":  # one before the end
        metrics = (ROOT / "results" / run / "metrics.csv").read_text(encoding="utf-8")
        taken = int(metrics.splitlines()[-1].split(",")[0])
    return f"all {taken:,}" if taken == whole else f"{taken:,} of {whole:,}"


def _recipe_steps(name):
    """The meta-steps of a recipe, or of the recipe that it includes."""
    text = (ROOT / "gin" / f"{name}.gin").read_text(encoding="utf-8")
    found = re.search(r"^(?:train\.)?steps = (\d+)$", text, re.M)
    return (
        int(found[1]) if found else _recipe_steps(re.search(r"^include '(.+)\.gin'", text, re.M)[1])
    )


def published(data: str, method: str, normalization: str = "", later: bool = False) -> str:
    """The published accuracy of 5-way 1-shot tasks, from `tfmeta/runs/comparison/published.csv`."""
    path = ROOT / "tfmeta" / "runs" / "comparison" / "published.csv"
    with path.open(encoding="utf-8") as file:
        (row,) = (
            row
            for row in csv.DictReader(file)
            if (row["data"], row["ways"], row["shots"], row["method"], row["normalization"])
            == (data, "5", "1", method, normalization)
            and row["source"].endswith("later version") == later
        )
    if not row["interval95"]:
        return row["value"]
    digits = len(row["value"].split(".")[1])
    digits = max(digits, len(row["interval95"].split(".")[1]))
    return plus_minus(float(row["value"]), float(row["interval95"]), digits)


def span(values, form: str = "{:.2f}") -> str:
    """The least and the largest of some values, or the value if they print alike."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def digits(value: float, count: int = 3) -> str:
    """A number rounded to a count of digits, without an exponent."""
    rounded = float(f"{value:.{count - 1}e}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    leading = 0 if whole or not rounded else -int(f"{abs(rounded):e}".split("e")[1]) - 1
    return f"{rounded:,.{max(0, count - whole + leading)}f}"
