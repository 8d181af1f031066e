"""Figures of the benchmark."""

import pytest

from benchmarks import report


def test_ratios_are_taken_round_by_round():
    # The machine was twice as slow in the second round, for both.
    figures = report.summary([[1.0, 1.0], [2.0, 2.0]], [[4.0, 4.0], [8.0, 8.0]])

    assert figures["ratio_median"] == pytest.approx(0.25)
    assert figures["ratio_quartiles"] == pytest.approx([0.25, 0.25])
    assert figures["seconds_best"] == 1.0


def test_fewer_rounds_are_compared_with_the_same_rounds_of_the_first():
    figures = report.summary([[2.0]], [[1.0], [100.0]])

    assert figures["ratio_median"] == 2.0
