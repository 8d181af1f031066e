"""run.json: what a run was computed with, and what must be the same when it goes on."""

import copy
import json
import os

import pytest
import tensorflow as tf

from tfmeta.runs import record
from tfmeta.runs.recipe import RecipeError


@pytest.fixture(scope="module")
def now():
    return {**record.environment(tf), "deterministic": True, "replicas": 1}


def test_the_environment_is_json_and_says_threads_and_onednn(now):
    again = json.loads(json.dumps(now))
    assert again["threads"]["intra_op"] >= 1
    assert isinstance(again["onednn"], bool)
    assert again["versions"]["tensorflow"] == tf.__version__
    assert again["machine"]["devices"][0] == "CPU:0"


def test_nothing_changed_in_the_same_environment(now):
    assert record.changes(now, copy.deepcopy(now)) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("threads", "intra_op"), 64, "intra-op threads"),
        (("versions", "tensorflow"), "2.20.0", "version of tensorflow"),
        (("machine", "processor"), "another", "processor"),
        (("onednn",), "off", "onednn"),
        (("deterministic",), False, "deterministic"),
        (("replicas",), 2, "replicas"),
    ],
)
def test_what_changes_the_bits_is_named(now, path, value, said):
    changed = copy.deepcopy(now)
    part = changed
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    (line,) = record.changes(now, changed)
    assert line.startswith(said)
    assert line.endswith(f"-> {value}")


def test_what_does_not_change_the_bits_may_change(now):
    changed = copy.deepcopy(now)
    changed["versions"]["python"] = "3.13.0"
    changed["machine"]["cores"] = 128
    assert record.changes(now, changed) == []


@pytest.fixture
def resumed(monkeypatch, tmp_path):
    """A work directory whose run had 3 threads and no oneDNN."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS"):
        # First set, so that monkeypatch takes back what the function sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    written = {"threads": {"intra_op": 3}, "onednn": False}
    (tmp_path / "run.json").write_text(json.dumps(written))
    return tmp_path


def test_a_run_goes_on_with_the_threads_and_onednn_it_began_with(resumed):
    record.adopt_environment(resumed)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_what_the_user_set_is_left_alone(resumed, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    record.adopt_environment(resumed)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"


def test_a_record_that_is_no_json_is_refused_in_words(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RecipeError, match=r"run\.json must be the record"):
        record.read(tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"", b"\xff\xfe"])
def test_a_damaged_record_is_refused_with_its_name(content, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"must be the record of a run.*run\.json"):
        record.read(tmp_path)
