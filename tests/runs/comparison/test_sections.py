"""Runs stand beside the published row of their method, and differences are named."""

from dataclasses import replace

from tfmeta.runs.comparison import Row, compare, published_rows, run_rows
from tfmeta.runs.comparison.published import PUBLISHED
from tfmeta.runs.comparison.sections import counterpart

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


def test_ten_inner_steps_stand_beside_one_only_with_words():
    run = replace(RUN, inner_steps=10, curve=((20.0, 1.0), (90.0, 0.5), (97.5, 0.4)))
    one, ten = replace(PAPER, inner_steps=1), replace(PAPER, inner_steps=10)
    assert counterpart(run, [one, ten]) == ten
    assert compare([run], [one])[0].differences[1] == (
        "inner steps 10 (published: 1)",
        "after 1 inner step: 90.00 +- 0.50",
    )
    assert compare([run], [PAPER])[0].differences[1] == ("inner steps 10 (published: not known)",)


def test_runs_that_differ_in_their_seed_have_a_mean_and_its_spread():
    runs = [
        replace(RUN, seed=0, value=97.0, steps=60000, interval95=0.4),
        replace(RUN, seed=1, value=98.0, steps=50000, remarks=("step 50,000 of the run's 60,000",)),
        replace(RUN, seed=1, value=10.0, steps=100, remarks=("step 100 of the run's 60,000",)),
        replace(RUN, seed=2, value=99.0, steps=60000),
        replace(RUN, seed=3, value=99.0, inner_steps=1),
        replace(RUN, seed=4, value=99.0, remarks=("recipe's MAML.inner_rate: 2.0 -> 1.0",)),
    ]
    (section,) = compare(runs, [])
    (mean,) = (row for row in section.rows if row.seeds > 1)
    assert (mean.value, mean.spread, mean.seeds, mean.interval95) == (98.0, 1.0, 3, None)
    assert mean.remarks == ("seeds 0, 1, 2", "meta-steps 50,000 to 60,000")
    assert len(section.rows) == len(runs) + 1


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


def test_what_is_to_be_checked_in_the_file_is_marked_and_nothing_else():
    lines = PUBLISHED.read_text().splitlines()[1:]
    assert [row.check for row in published_rows()] == [line.endswith(",check") for line in lines]
    marked = {row.method for row in published_rows() if row.check}
    assert {"Meta-SGD", "Reptile"} <= marked
