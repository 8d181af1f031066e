"""metrics.csv."""

import pytest

from tfmeta.runs.metrics_log import MetricsLog, read_rows
from tfmeta.runs.recipe import RecipeError


def _write(folder, step, rows):
    log = MetricsLog(folder, ["loss", "accuracy"], step, tensorboard=False)
    for row in rows:
        log.write(row, {"loss": row / 7, "accuracy": 0.5}, 10.0, row / 2)
    log.close()


def test_rows_after_the_checkpoint_are_cut(tmp_path):
    _write(tmp_path, 0, [10, 20, 30])
    _write(tmp_path, 20, [40])
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == ["10", "20", "40"]


def test_the_columns_are_those_of_the_design(tmp_path):
    _write(tmp_path, 0, [10])
    first = (tmp_path / "metrics.csv").read_text().split("\n")[0]
    assert first == "step,loss,accuracy,tasks_per_second,seconds"


def test_numbers_keep_all_their_digits(tmp_path):
    _write(tmp_path, 0, [10])
    assert float(read_rows(tmp_path / "metrics.csv")[0]["loss"]) == 10 / 7


def test_a_row_that_a_crash_cut_short_is_left_out(tmp_path):
    _write(tmp_path, 0, [10, 20])
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text()[:-8])
    assert [row["step"] for row in read_rows(path)] == ["10"]
    _write(tmp_path, 10, [20])
    assert [row["step"] for row in read_rows(path)] == ["10", "20"]


def test_validation_values_stand_in_columns_of_their_own_and_outlive_a_resumption(tmp_path):
    log = MetricsLog(tmp_path, ["loss"], 0, tensorboard=False)
    log.write(10, {"loss": 1.0}, 5.0, 1.0)
    log.write(20, {"loss": 1 / 3}, 5.0, 2.0, {"loss": 1 / 7, "accuracy": None})
    log.write(30, {"loss": 0.5}, 5.0, 3.0)
    log.close()
    path = tmp_path / "metrics.csv"
    text = path.read_text()
    assert text == (
        "step,loss,tasks_per_second,seconds,val_loss,val_accuracy\n10,1.0,5.0,1.0,,\n"
        f"20,{1 / 3},5.0,2.0,{1 / 7},\n30,0.5,5.0,3.0,,\n"
    )
    # A session that does not validate keeps what earlier ones measured.
    again = MetricsLog(tmp_path, ["loss"], 20, tensorboard=False)
    again.write(30, {"loss": 0.5}, 5.0, 3.0)
    assert path.read_text() == text
    again.amend(30, {"loss": 0.25})
    again.amend(31, {"loss": 0.75})  # no such row
    again.write(40, {"loss": 0.5}, 5.0, 4.0)
    again.close()
    assert [row["val_loss"] for row in read_rows(path)] == ["", str(1 / 7), "0.25", ""]


def test_tensorboard_events_are_written(tmp_path):
    log = MetricsLog(tmp_path, ["loss"], 0)
    log.write(1, {"loss": 0.5}, 10.0, 1.0)
    log.close()
    assert list((tmp_path / "events").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\n", b"step,loss\nsoon,1\n", b"time,loss\n1,1\n"]
)
def test_a_file_that_no_run_wrote_is_named(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"metrics\.csv must be the rows.*Move it away"):
        read_rows(path)
