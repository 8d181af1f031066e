"""The gap of a swap is the longest time in which nobody got an answer."""

import pytest

from benchmarks.serving_gaps import longest_gap, summary, swap_figures


@pytest.mark.parametrize(
    ("answered", "begin", "end", "gap"),
    [
        ([0, 1, 2, 3, 4], 1, 3, (1, 1)),
        ([0, 1, 4, 5], 2, 3, (3, 1)),  # the whole span lies within one interval
        ([0, 3, 4, 5], 2, 4.5, (3, 0)),  # one that began before counts whole
        ([0, 1, 2, 6], 1, 3, (4, 2)),  # and one that ends after
        ([0, 9, 10, 11, 20], 10, 11, (1, 10)),  # others do not
        ([4, 0, 1], 2, 3, (3, 1)),  # in any order, of several clients
    ],
)
def test_the_longest_gap_overlaps_the_span(answered, begin, end, gap):
    assert longest_gap(answered, begin, end) == gap


@pytest.mark.parametrize("answered", [[], [1.5], [2, 4], [0, 1, 2]])
def test_a_gap_without_its_ends_is_no_figure(answered):
    with pytest.raises(ValueError, match="Let the clients run longer"):
        longest_gap(answered, 1, 3)


def test_the_figures_of_a_swap_are_those_of_its_clients():
    calm = [(0.1 * step, 0.01, "OK") for step in range(100)]
    swap = [(10.5, 0.6, "OK"), (11.0, 0.5, "UNAVAILABLE"), (12.0, 1.0, "OK"), (14.0, 2.0, "OK")]
    figures = swap_figures(calm + swap, 10.0, 10.9, seconds_before=5, seconds_after=1)
    assert figures["requests_before"] == 50
    assert figures["p99_before_ms"] == 10
    assert figures["gap_ms"] == 1000
    assert figures["gap_of_p99"] == 100
    assert figures["gap_after_loading_seconds"] == 1
    assert figures["failed_requests"] == 1
    assert figures["loading_to_available_seconds"] == 0.9
    good = {**figures, "gap_of_p99": 2.9, "failed_requests": 0, "longest_collection_ms": 1.0}
    assert summary([2.0, 1.0], [good, good])["within_limits"]
    for worse in ({"gap_of_p99": 3.1}, {"failed_requests": 1}, {"longest_collection_ms": 51}):
        assert not summary([2.0, 1.0], [good, {**good, **worse}])["within_limits"]
