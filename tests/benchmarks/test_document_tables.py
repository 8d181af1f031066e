"""Figures in the documents' tables are the figures of the files under results/."""

import re

import pytest

from benchmarks.document_tables.documents import DOCUMENTS, ROOT, with_tables

PAGES = (
    *("README.md", "docs/results.md", "docs/benchmarks.md"),
    *(f"docs/explanations/{name}.md" for name in ("papers", "probabilistic", "task_axis")),
    *(f"docs/guides/{name}.md" for name in ("none_of_these", "presets", "pretrained")),
)
# Tables of these pages whose figures are in no stored file, by the start of their heads.
BY_HAND = (
    "| value | statistics of an answer |",  # a published figure, with its meaning
    "| workload | PyTorch loop, s |\n",  # of earlier versions of the files, in git's history
    "| topic | source | tfmeta |",  # settings of papers and of recipes
)
TABLE = re.compile(r"(?:<!-- table \w+\.\w+ -->\n\n)?(?:^\|.*\n)+", re.M)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_marked_tables_are_as_the_files_say(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert with_tables(text) == text, "Run python -m benchmarks.document_tables --write."


@pytest.mark.parametrize("name", PAGES)
def test_a_table_with_figures_is_marked(name):
    tables = TABLE.findall((ROOT / name).read_text(encoding="utf-8"))
    assert tables
    for table in tables:
        marked = table.startswith(("<!-- table", *BY_HAND))
        assert marked or not re.search(r"\d\.\d", table), table


@pytest.mark.parametrize(
    ("name", "figure"), [("README.md", "98.63"), ("docs/benchmarks.md", "0.0638")]
)
def test_a_changed_figure_is_seen(name, figure):
    text = (ROOT / name).read_text(encoding="utf-8")
    changed = text.replace(figure, "1" + figure)
    assert changed != text
    assert with_tables(changed) == text


def test_a_marker_without_a_table_gets_one_and_keeps_the_text_behind_it():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    bare = re.sub(r"(<!-- table readme\.speed -->\n\n)(?:\|.*\n)+\n", r"\1", text)
    assert len(bare) < len(text)
    assert with_tables(bare) == text
