"""The figures of swaps of a served model, from the times of answers that clients got."""

import numpy as np

MOST_GAP = 3.0  # of the 99th percentile before
MOST_COLLECTION_MILLISECONDS = 50.0


def longest_gap(answered, begin, end) -> tuple:
    """The longest interval between two answers, of those that overlap a span of time.

    Example:

        >>> longest_gap([0.0, 1.0, 4.0, 4.5], begin=2.0, end=4.5)
        (3.0, 1.0)

    Args:
        answered: times of answers, in any order; some before `begin` and after `end`.
        begin: of the span.
        end: of the span.

    Returns:
        (seconds, when the interval began).

    Raises:
        ValueError: if no answer came before the span or none after it, so that the gap is open.
    """
    times = np.sort(np.asarray(answered, float))
    if not len(times) or times[0] > begin or times[-1] < end:
        raise ValueError(
            f"Answers must begin before the span and end after it. Received: {len(times)} answers "
            f"and a span from {begin} to {end}. Let the clients run longer."
        )
    first = np.searchsorted(times, begin, side="right") - 1
    last = np.searchsorted(times, end, side="left")
    gaps = np.diff(times[first : last + 1])
    longest = int(np.argmax(gaps))
    return float(gaps[longest]), float(times[first + longest])


def swap_figures(answers, loading, available, seconds_before, seconds_after) -> dict:
    """What clients saw of one swap, in milliseconds.

    Args:
        answers: list of (time of the answer, seconds, code).
        loading: time at which the version was seen to load.
        available: time at which it was seen to be available.
        seconds_before: how much of the load before counts.
        seconds_after: how long after `available` gaps still count.
    """
    times = [end for end, _, _ in answers]
    calm = [s for end, s, _ in answers if loading - seconds_before <= end < loading]
    p99 = float(np.percentile(calm, 99))
    gap, began = longest_gap(times, loading, available + seconds_after)
    calm_gap, _ = longest_gap(times, max(loading - seconds_before, min(times)), loading)
    return {
        "requests_before": len(calm),
        "p99_before_ms": round(p99 * 1e3, 2),
        "longest_gap_before_ms": round(calm_gap * 1e3, 2),
        "gap_ms": round(gap * 1e3, 2),
        "gap_of_p99": round(gap / p99, 2),
        "gap_after_loading_seconds": round(began - loading, 2),
        "loading_to_available_seconds": round(available - loading, 2),
        "failed_requests": sum(code != "OK" for _, _, code in answers),
    }


def summary(loads, swaps) -> dict:
    """The worst of a model's swaps, and whether each kept its limits."""
    return {
        "load_processor_seconds": {
            "median": round(float(np.median(loads)), 2),
            "each": [round(each, 2) for each in loads],
        },
        "worst_gap_ms": max(each["gap_ms"] for each in swaps),
        "worst_gap_of_p99": max(each["gap_of_p99"] for each in swaps),
        "longest_collection_ms": max(each["longest_collection_ms"] for each in swaps),
        "failed_requests": sum(each["failed_requests"] for each in swaps),
        "within_limits": all(
            each["gap_of_p99"] <= MOST_GAP
            and each["longest_collection_ms"] <= MOST_COLLECTION_MILLISECONDS
            and not each["failed_requests"]
            for each in swaps
        ),
        "swaps": swaps,
    }
