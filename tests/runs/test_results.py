"""The file of a result is named by its protocol, and no other protocol overwrites it."""

import json

import pytest

from tfmeta.runs import results

RECIPE = {
    "name": "sinusoid",
    "split": "test",
    "shots": 5,
    "queries": 5,
    "tasks": 600,
    "inner_steps": 10,
    "step": 100,
    "data_sha256": "0" * 64,
    "normalizations": ["transductive"],
    "calibration": False,
}
OWN = results.own_files([RECIPE, RECIPE | {"shots": 10, "queries": 10}])


def report(**changed):
    protocol = {k: v for k, v in RECIPE.items() if k not in ("normalizations", "calibration")}
    return {"protocol": protocol | changed, "results": {"transductive": {}}}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "evaluation.json"),
        ({"shots": 10, "queries": 10}, "evaluation_10shot.json"),
        ({"inner_steps": 2}, "evaluation-inner_steps=2.json"),
        ({"tasks": 7, "shots": 3, "queries": 3}, "evaluation-shots=3,tasks=7.json"),
        ({"split": "train", "data_sha256": "1" * 64}, "evaluation-split=train.json"),
        ({"data_sha256": "1" * 64}, "evaluation-data_sha256=111111111111.json"),
        ({"ensemble": [300, 100]}, "evaluation-ensemble=300+100.json"),
        ({"normalizations": ["inductive"]}, "evaluation-normalizations=inductive.json"),
        ({"calibration": True}, "evaluation-calibration=true.json"),
        ({"path": "../a b"}, "evaluation-path=.._a_b.json"),
        ({"split": "train", "sets": 1, "set_names": ["Kiosk"]}, "evaluation-split=train.json"),
        ({"path": "\u5e97" * 99}, f"evaluation-path={44 * chr(0x5E97)}.json"),
    ],
)
def test_a_file_is_named_by_what_differs_from_the_recipe(changed, name):
    protocol = RECIPE | changed
    same_shots = RECIPE | {"shots": protocol["shots"], "queries": protocol["queries"]}
    assert results.file_of(protocol, OWN, same_shots) == name


def test_what_belongs_to_the_run_and_not_to_the_protocol_names_no_file():
    facts = {"parameters": 3, "network": "mlp", "recipe": "r", "batch_statistics": False}
    assert results.protocol_of(report(**facts)) == RECIPE


def test_a_result_of_another_protocol_is_moved_with_its_pictures(tmp_path):
    for step in (4000, 6000):
        results.write_report(tmp_path, "evaluation.json", report(step=step))
        (tmp_path / "evaluation.png").write_text(str(step))
        (tmp_path / "calibration.png").write_text(str(step))
    results.write_report(tmp_path, "evaluation.json", report(step=6000, tasks=7))
    names = ["calibration-step=4000.png", "calibration-tasks=600.png"]
    names += ["evaluation-step=4000.json", "evaluation-step=4000.png"]
    names += ["evaluation-tasks=600.json", "evaluation-tasks=600.png", "evaluation.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert json.loads((tmp_path / names[2]).read_text())["protocol"]["step"] == 4000
    assert (tmp_path / "evaluation-tasks=600.png").read_text() == "6000"


def test_a_moved_result_takes_no_name_that_is_taken_and_an_unknown_file_is_kept(tmp_path):
    (tmp_path / "evaluation-step=4000.json").write_text("of someone else")
    (tmp_path / "evaluation-inner_steps=2.json").write_text("{}")
    for step in (4000, 6000):
        results.write_report(tmp_path, "evaluation.json", report(step=step))
        name = "evaluation-inner_steps=2.json"
        results.write_report(tmp_path, name, report(step=step, inner_steps=2))
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found["evaluation-step=4000.json"] == "of someone else"
    assert json.loads(found["evaluation-step=4000_2.json"])["protocol"]["step"] == 4000
    assert found["evaluation-inner_steps=2,protocol=unknown.json"] == "{}"
    assert "evaluation-inner_steps=2,step=4000.json" in found
