"""A benchmark judges no part of a run."""

import pytest

from benchmarks import whole_runs


def test_a_run_that_was_interrupted_is_not_judged(monkeypatch, tmp_path):
    monkeypatch.setattr(whole_runs, "train", lambda recipe, workdir: 0)

    with pytest.raises(SystemExit, match=r"Stopped in .* The same command goes on"):
        whole_runs.train_whole("sinusoid_maml.gin", ["train.steps = 1"], tmp_path)


def test_a_run_that_is_evaluated_is_not_trained_again(tmp_path):
    (tmp_path / "evaluation.json").write_text("{}", encoding="utf-8")

    whole_runs.train_whole("sinusoid_maml.gin", [], tmp_path)
