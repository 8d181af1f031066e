"""Runs stand beside the published row of their method, and differences are named."""

from dataclasses import replace

import pytest

from tfmeta.comparison import Row, compare, published_rows, run_rows
from tfmeta.comparison.sections import counterpart

PAPER = Row(
    data="omniglot",
    ways=5,
    shots=1,
    method="MAML",
    metric="accuracy",
    value=98.7,
    source="a paper",
    published=True,
    normalization="transductive",
    test_tasks=600,
    steps=60000,
)
RUN = replace(PAPER, value=97.5, source="a run", published=False)


def test_a_run_of_the_papers_protocol_differs_in_nothing():
    (section,) = compare([RUN], [PAPER])
    assert section.rows == (PAPER, RUN)
    assert section.differences == ((), ())
    assert section.title == "Omniglot 5-way 1-shot, accuracy in %"


def test_differences_of_protocol_are_named_where_both_sides_are_known():
    run = replace(RUN, normalization="inductive", steps=742, filters=32, remarks=("one more",))
    (section,) = compare([run], [PAPER])
    assert section.differences[1] == (
        "statistics inductive (published: transductive)",
        "meta-steps 742 (published: 60,000)",
        "one more",
    )


def test_a_run_is_compared_with_the_row_of_its_statistics_and_not_with_one_to_be_checked():
    inductive = replace(PAPER, normalization="inductive")
    doubtful = replace(PAPER, check=True, test_tasks=10000)
    rows = [doubtful, inductive, PAPER]
    assert counterpart(RUN, rows) == PAPER
    assert counterpart(replace(RUN, normalization="inductive"), rows) == inductive
    assert counterpart(replace(RUN, method="another"), rows) is None


def test_a_method_that_no_paper_has_says_so():
    (section,) = compare([replace(RUN, method="another")], [PAPER])
    assert section.differences[1] == ("no published row",)


def test_only_tasks_that_were_run_are_shown_best_first():
    other = replace(PAPER, shots=5)
    worse, broken = replace(RUN, value=50.0), replace(RUN, value=None)
    (section,) = compare([broken, worse, RUN], [other, PAPER])
    assert section.rows == (PAPER, RUN, worse, broken)
    errors = [replace(RUN, metric="loss", value=value) for value in (2.0, 1.0)]
    assert [row.value for row in compare(errors, [])[0].rows] == [1.0, 2.0]


def test_the_published_table_has_the_rows_that_runs_are_compared_with(make_run):
    rows = published_rows()
    assert len({(r.task, r.method, r.normalization, r.source) for r in rows}) == len(rows)
    assert all(row.source and row.published for row in rows)
    assert all(0 < row.value <= 100 for row in rows)
    finetuning = [r.value for r in rows if r.method == "fine-tuning"]
    assert finetuning == [28.86, 49.79]
    assert counterpart(run_rows([make_run()])[0], rows).value == 98.7


@pytest.mark.parametrize("method", ["Meta-SGD", "Reptile"])
def test_what_is_to_be_checked_is_marked_in_the_published_table(method):
    assert any(row.check for row in published_rows() if row.method == method)
