"""Turn taking, with contestants that only count."""

import sys

import pytest

from benchmarks import turns


class Counter:
    def __init__(self, name, log):
        self.name, self.log = name, log

    def ask(self, command, count):
        self.log.append((self.name, count))
        return {"seconds": [0.1] * count, "cpu_seconds": 0.2 * count}


def test_one_works_at_a_time_and_every_second_round_goes_the_other_way(monkeypatch):
    monkeypatch.setattr(turns, "SETTLE_SECONDS", 0.0)
    log = []
    processes = [Counter("a", log), Counter("b", log)]

    plans = {name: turns.Plan(rounds=2, steps=3) for name in ("a", "b")}
    seconds, cpu_seconds = turns.take_turns(processes, plans)

    warm, timed = 1, 3
    order = ["a", "b", "b", "a"]
    assert log == [(name, count) for name in order for count in (warm, timed)]
    assert seconds["a"] == [[0.1] * 3] * 2
    assert cpu_seconds["b"] == pytest.approx([0.2, 0.2])


def test_a_contestant_with_fewer_rounds_leaves_the_later_ones_to_the_others(monkeypatch):
    monkeypatch.setattr(turns, "SETTLE_SECONDS", 0.0)
    log = []
    plans = {"a": turns.Plan(2, 1, warm=0), "b": turns.Plan(0, 1)}

    seconds, _ = turns.take_turns([Counter("a", log), Counter("b", log)], plans)

    assert log == [("a", 1), ("a", 1)]
    assert seconds == {"a": [[0.1], [0.1]], "b": []}


def test_plans_give_all_the_same_time_and_the_slow_none():
    plans = turns.plan({"first": 1.0, "quick": 0.001, "slow": 20.0}, budget=30.0)

    assert plans["first"].rounds >= turns.MIN_ROUNDS
    assert plans["quick"].rounds == plans["first"].rounds
    assert plans["quick"].steps > plans["first"].steps
    assert plans["slow"].rounds == 0


def test_the_first_contestant_takes_part_however_slow_it_is():
    assert turns.plan({"first": 50.0}, budget=10.0)["first"].rounds == turns.MIN_ROUNDS


def test_a_contestant_that_takes_too_long_is_stopped():
    process = turns.Process("tfmeta", "sinusoid_1step", sys.executable, 1)
    try:
        with pytest.raises(turns.Stopped, match="took more than"):
            process.ask("build", limit=0.01)
    finally:
        process.close()
