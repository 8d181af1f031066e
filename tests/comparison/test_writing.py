"""The comparison as Markdown, CSV and a picture."""

import csv

import numpy as np
from PIL import Image

from tfmeta.comparison import compare, published_rows, run_rows, write_comparison


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


def test_a_result_that_is_not_finite_is_written_and_left_out_of_the_picture(make_run, tmp_path):
    broken = {"transductive": {"accuracy": {"mean": [None], "interval95": [None]}}}
    sections = compare(run_rows([make_run(results=broken)]), published_rows())
    text, _, picture = write_comparison(sections, tmp_path / "table")
    assert "**not finite**" in text.read_text()
    assert picture.stat().st_size > 1000
