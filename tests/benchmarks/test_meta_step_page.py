"""The page of tables and the chart, from made-up results."""

import pytest

from benchmarks import measurement, meta_step_page, report
from benchmarks.workloads import WORKLOADS

FIRST = {"first_step_seconds": 1.5, "early_step_seconds": 1.0, "early_step_cpu_seconds": 1.0}
MEMORY = {"idle_bytes": 0, "peak_bytes": 3 * 2**20}
SECONDS = {"pytorch_loop": [[1.0], [1.0]], "tfmeta": [[0.25], [0.5]], "jax_vmap": []}
SECONDS |= {"large_product": [[0.01]] * 2, "products_alone": [[0.125]] * 2}


@pytest.fixture
def document():
    workload = WORKLOADS["sinusoid_1step"]
    rows = {name: FIRST | MEMORY for name in SECONDS}
    timed = SECONDS, {name: [0.1] * len(seconds) for name, seconds in SECONDS.items()}
    rows = {name: row | report.figures(name, rows, timed) for name, row in rows.items()}
    rows["higher"] = {"stopped": "stopped: 'steps' took more than 60 s"}
    rows = measurement.with_shares(rows, workload)
    return {
        "code": "abc",
        "note": "",
        "machine": {"processor": "one", "cores": 2, "load_average": [0.1, 0.1, 0.1]},
        "operations": 10,
        "contestants": {n: row for n, row in rows.items() if n not in ("large_product",)},
        "yardsticks": {},
    }


def test_shares_are_of_what_the_machine_could_do(document):
    row = document["contestants"]["tfmeta"]
    assert row["share_of_products_alone"] == pytest.approx(0.125 / 0.375)


def test_a_contestant_without_turns_is_shown_by_its_early_step(document):
    row = document["contestants"]["jax_vmap"]
    assert row["ratio_median"] == 1.0
    assert row["rounds"] == 0


def test_a_first_contestant_that_was_stopped_leaves_its_cells_empty(document):
    document["contestants"]["pytorch_loop"] = {"stopped": "stopped: memory"}
    lines = meta_step_page.own_table({"sinusoid_1step": document})
    assert " |  | " in next(line for line in lines if line.startswith("| sinusoid_1step"))
    document["contestants"] = {"tfmeta": {"stopped": "stopped: memory"}}
    meta_step_page.figure({"sinusoid_1step": document})


def test_the_page_shows_ratios_and_who_was_stopped(document):
    document["contestants"].pop("products_alone")
    page = meta_step_page.markdown({"sinusoid_1step": document}, threads=2)

    assert "| 0.38 (0.31 to 0.44) |" in page
    assert "stopped: 'steps' took more than 60 s" in page
    assert "1.00 (1.00 to 1.00, once)" in page


def test_the_chart_has_a_panel_a_workload(document):
    document["contestants"].pop("products_alone")
    names = ("sinusoid_1step", "mini_imagenet_5way_1shot_first_order", "adaptation_5steps_1tasks")
    shown = meta_step_page.figure(dict.fromkeys(names, document))

    titles = [axis.get_title() for axis in shown.axes]
    assert titles == [
        "sinusoid 1 step",
        "mini-ImageNet 5-way 1-shot first order",
        "adaptation 5 steps 1 task",
    ]


def test_the_page_of_a_gpu_says_which_and_how_far_answers_are(document):
    rows = document["contestants"]
    rows.pop("products_alone")
    for row in rows.values():
        row["distance"] = [2e-6, 1e-7]
    rows["tfmeta_lowered"] = rows.pop("tfmeta") | {"accelerator": "a GPU"}
    document["distance_of_tfmeta_on_cpu"] = [3e-6, 1e-7]
    page = meta_step_page.gpu_markdown({"sinusoid_1step": document})

    assert "- Accelerator: a GPU" in page
    assert "| 2.0e-06 | 3.0e-06 |" in page
    assert meta_step_page.ours(document) is rows["tfmeta_lowered"]
