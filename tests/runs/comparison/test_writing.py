"""The comparison as Markdown, CSV and a picture."""

import csv
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tfmeta.runs.comparison import Row, compare, published_rows, run_rows, write_comparison
from tfmeta.runs.comparison.chart import _panel


def test_three_files_hold_the_same_rows(make_run, tmp_path):
    sections = compare(run_rows([make_run(step=742)]), published_rows())
    text, table, picture = write_comparison(sections, tmp_path / "out" / "table")

    lines = text.read_text().splitlines()
    own = next(line for line in lines if line.startswith("| **MAML**"))
    assert "| **97.50 +- 0.60** | transductive | 600 | 1 | 3 | 64 | 742 | 0 |" in own
    assert "meta-steps 742 (published: 60,000)" in own
    assert any(line.startswith("| Reptile | 95.39 (check) |") for line in lines)
    # Above the rows: the heads of the columns and the line below.
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(sections[0].rows)

    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(sections[0].rows)
    (found,) = (row for row in rows if row["published"] == "False")
    assert (float(found["value"]), found["steps"]) == (97.5, "742")
    assert found["differences"].startswith("meta-steps 742")

    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 80).sum()
    assert blue > 100  # the run's point, its interval and its name


def test_seeds_and_their_mean_are_written(make_run, tmp_path):
    make_run("runs/a")
    better = {"transductive": {"accuracy": {"mean": [0.985], "interval95": [0.006]}}}
    make_run("runs/b", results=better, train_seed=1)
    sections = compare(run_rows([tmp_path / "runs"]), published_rows())
    text, table, _ = write_comparison(sections, tmp_path / "table")
    own = [line for line in text.read_text().splitlines() if line.startswith("| **MAML**")]
    results = ("**98.50 +- 0.60**", "**98.00 (s = 0.71)**", "**97.50 +- 0.60**")
    for line, result, seed in zip(own, results, ("1", "mean of 2", "0"), strict=True):
        assert f"| {result} |" in line
        assert f"| {seed} |" in line
    with open(table, newline="") as file:
        assert [row["spread"] for row in csv.DictReader(file) if row["seeds"] == "2"]


def test_marks_stand_at_the_rows_that_they_are_for_and_nowhere_else(tmp_path):
    sure = Row("omniglot", 5, 1, "MAML", "accuracy", 98.7, "a paper", True, interval95=0.4)
    doubtful = replace(sure, method="Reptile", value=95.4, source="from memory", check=True)
    run = replace(
        sure, value=97.5, source="runs/a|b", published=False, normalization="none", steps=100
    )
    text, table, _ = write_comparison(compare([run], [sure, doubtful]), tmp_path / "table")
    lines = [line for line in text.read_text().splitlines() if line.startswith("| ")][2:]
    cells = [line.split(" | ")[:3] for line in lines]
    assert cells == [
        ["| MAML", "98.70 +- 0.40", ""],
        ["| **MAML**", "**97.50 +- 0.40**", "none"],
        ["| Reptile", "95.40 +- 0.40 (check)", ""],
    ]
    assert "runs/a\\|b" in lines[1]
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["check"] for row in rows] == ["False", "False", "True"]
    assert [row["published"] for row in rows] == ["True", "False", "True"]


def test_points_of_runs_are_filled_and_published_ones_hollow():
    paper = Row("omniglot", 5, 1, "MAML", "accuracy", 98.7, "a paper", True, interval95=0.4)
    run = replace(paper, published=False, steps=100, spread=2.0, seeds=3)
    rows = [paper, replace(paper, check=True), replace(run, seeds=1, spread=None), run]
    axes = Figure().subplots()
    _panel(axes, "title", rows)
    points = [container.lines[0] for container in axes.containers]
    marks = [(p.get_marker(), p.get_color(), p.get_markerfacecolor()) for p in points]
    assert marks == [
        ("D", "black", "white"),
        ("D", "0.6", "white"),
        ("o", "#0072B2", "#0072B2"),
        ("s", "#0072B2", "#0072B2"),
    ]
    bars = [container.lines[2][0].get_segments()[0][:, 0] for container in axes.containers]
    assert [round((bar[1] - bar[0]) / 2, 6) for bar in bars] == [0.4, 0.4, 0.4, 2.0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:3] == ["MAML", "MAML, check", "MAML, here: 100 steps"]
    assert labels[3] == "MAML, mean of 3 seeds"


def test_a_result_that_is_not_finite_is_written_and_left_out_of_the_picture(make_run, tmp_path):
    broken = {"transductive": {"accuracy": {"mean": [None], "interval95": [None]}}}
    sections = compare(run_rows([make_run(results=broken)]), published_rows())
    text, _, picture = write_comparison(sections, tmp_path / "table")
    assert "**not finite**" in text.read_text()
    assert picture.stat().st_size > 1000
