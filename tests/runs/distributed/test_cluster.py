"""TF_CONFIG: what it says, and what is said where it is wrong."""

import json

import pytest

from tfmeta.runs.distributed.cluster import cluster_of, parse_cluster
from tfmeta.runs.recipe import RecipeError

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def text(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_the_first_worker_is_the_chief():
    first, second = (parse_cluster(text({"worker": TWO}, index=index)) for index in range(2))
    assert first.is_chief
    assert not second.is_chief
    assert second.others == (TWO[0],)
    assert second.name(1) == "worker 1 (10.0.0.2:2222)"


def test_a_job_named_chief_comes_before_the_workers():
    cluster = {"chief": ["10.0.0.9:1"], "worker": TWO}
    assert parse_cluster(text(cluster, "chief")).is_chief
    second = parse_cluster(text(cluster, "worker", 1))
    assert second.index == 2
    assert second.addresses == ("10.0.0.9:1", *TWO)


def test_a_process_without_tf_config_is_its_own_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    alone = cluster_of("mirrored")
    assert alone.is_chief
    assert alone.others == ()


@pytest.mark.parametrize("value", [None, ""])
def test_workers_without_tf_config_are_refused_with_an_example_that_works(monkeypatch, value):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(RecipeError, match="needs the environment variable TF_CONFIG") as error:
        cluster_of("multi_worker")
    example = str(error.value).split("Example: TF_CONFIG='")[1].split("'")[0]
    assert len(parse_cluster(example).addresses) == 2


@pytest.mark.parametrize("strategy", [None, "one_device", "mirrored"])
def test_tf_config_is_refused_where_one_process_trains(monkeypatch, strategy):
    monkeypatch.setenv("TF_CONFIG", text({"worker": TWO}))
    with pytest.raises(RecipeError, match=r"Unset it, or pass .*run\.strategy = 'multi_worker'"):
        cluster_of(strategy)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "no JSON"),
        ("[]", "lacks an object cluster or task"),
        (json.dumps({"cluster": {"worker": TWO}}), "lacks an object cluster or task"),
        (text({}), "only 'worker' and one 'chief'"),
        (text({"worker": TWO, "ps": TWO}), "only 'worker' and one 'chief'"),
        (text({"worker": []}), "list of addresses"),
        (text({"worker": "10.0.0.1:2222"}), "list of addresses"),
        (text({"worker": TWO, "chief": TWO}), "2 chiefs"),
        (text({"worker": ["10.0.0.1"]}), "must be host:port"),
        (text({"worker": ["10.0.0.1:0"]}), "must be host:port"),
        (text({"worker": ["10.0.0.1:99999"]}), "must be host:port"),
        (text({"worker": [2222]}), "must be host:port"),
        (text({"worker": [TWO[0], TWO[0]]}), "twice"),
        (text({"worker": TWO}, "evaluator"), "the task type 'evaluator'"),
        (text({"worker": TWO}, index=2), "the task index 2"),
        (text({"worker": TWO}, index="0"), "the task index '0'"),
        (text({"worker": TWO}, index=-1), "the task index -1"),
        (text({"worker": TWO}, index=True), "the task index True"),
    ],
)
def test_what_is_wrong_with_a_tf_config_is_named(value, said):
    with pytest.raises(RecipeError) as error:
        parse_cluster(value)
    assert said in str(error.value)
    assert "Example: TF_CONFIG=" in str(error.value)
