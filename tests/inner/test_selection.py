"""Choosing weights by patterns."""

import pytest

from tfmeta.inner import by_pattern, select

PATHS = ["conv_1/kernel", "norm_1/beta", "head/kernel", "head/bias"]


def test_patterns_choose_and_leave_out():
    assert select(PATHS, None, argument="adapted") == [0, 1, 2, 3]
    assert select(PATHS, "head/*", argument="adapted") == [2, 3]
    assert select(PATHS, ["!norm_*"], argument="adapted") == [0, 2, 3]
    assert select(PATHS, ["head/*", "!*/bias"], argument="adapted") == [2]


def test_a_pattern_that_matches_nothing_lists_the_paths():
    with pytest.raises(ValueError, match=r"'dense/\*'.*conv_1/kernel, norm_1/beta, head/kernel"):
        select(PATHS, "dense/*", argument="adapted")
    with pytest.raises(ValueError, match="must leave some weights"):
        select(PATHS, ["head/*", "!head/*"], argument="adapted")


def test_the_first_pattern_that_matches_gives_the_value():
    assert by_pattern(PATHS, 0.1, argument="inner_rate") == [0.1] * 4
    values = by_pattern(PATHS, {"head/bias": 1, "head/*": 2, "*": 3}, argument="inner_rate")
    assert values == [3, 3, 2, 1]


def test_a_weight_without_a_value_is_named():
    with pytest.raises(ValueError, match="Received none for: conv_1/kernel"):
        by_pattern(PATHS, {"head/*": 2}, argument="inner_rate")
