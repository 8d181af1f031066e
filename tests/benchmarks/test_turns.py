"""Turn taking, with contestants that only count."""

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

    seconds, cpu_seconds = turns.take_turns(processes, rounds=2, steps=3)

    warm, timed = 1, 3
    order = ["a", "b", "b", "a"]
    assert log == [(name, count) for name in order for count in (warm, timed)]
    assert seconds["a"] == [[0.1] * 3] * 2
    assert cpu_seconds["b"] == pytest.approx([0.2, 0.2])
