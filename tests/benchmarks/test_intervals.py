"""Intervals of figures over tasks."""

import numpy as np
import pytest

from benchmarks.answers import Answers, answered, figures, joined
from benchmarks.intervals import bootstrap, interval


def test_an_interval_is_that_of_the_mean():
    found = interval(np.array([1.0, 2.0, 3.0, 6.0]))
    assert found["mean"] == 3.0
    assert found["interval95"] == pytest.approx(1.96 * np.sqrt(14 / 3) / 2)


def test_the_bootstrap_of_a_mean_is_its_interval():
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap(lambda tasks: values[tasks].mean(), len(values))
    expected = interval(values)
    assert found["value"] == pytest.approx(expected["mean"])
    width = (found["interval95"][1] - found["interval95"][0]) / 2
    assert width == pytest.approx(expected["interval95"], rel=0.1)


def answers(rng, confidence):
    """Answers that are right as often as 0.8, said with a confidence."""
    right = rng.random((300, 5)) < 0.8
    chosen = np.where(right, confidence, 1 - confidence)
    return Answers(np.full(right.shape, confidence), right, np.log(chosen))


def test_overconfident_answers_are_told_from_calibrated_ones():
    rng = np.random.default_rng(0)
    calm, bold = answers(rng, 0.8), answers(rng, 0.99)
    found = figures(calm, bold)
    assert found["accuracy"]["mean"] == pytest.approx(0.8, abs=0.03)
    assert found["calibration_error"]["value"] < 0.03
    low, high = found["minus_maml"]["calibration_error"]["interval95"]
    assert -0.24 < low < high < -0.12
    assert found["minus_maml"]["negative_log_likelihood"]["mean"] < 0


def test_answers_of_several_seeds_are_those_of_more_queries():
    rng = np.random.default_rng(0)
    one, two = answers(rng, 0.8), answers(rng, 0.6)
    both = joined([one, two])
    assert both.right.shape == (300, 10)
    everything = np.arange(300)
    separate = (one.error(everything) + two.error(everything)) / 2
    assert both.error(everything) == pytest.approx(separate, abs=0.02)


def test_a_temperature_changes_how_sure_answers_are_and_not_which():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(5), size=(40, 3))
    targets = rng.integers(5, size=(40, 3))
    plain, warm = answered(probabilities, targets), answered(probabilities, targets, 2.0)
    np.testing.assert_allclose(plain.confidences, probabilities.max(axis=-1))
    chosen = np.take_along_axis(probabilities, targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(plain.likelihoods, np.log(chosen))
    np.testing.assert_array_equal(plain.right, probabilities.argmax(axis=-1) == targets)
    np.testing.assert_array_equal(warm.right, plain.right)
    roots = np.sqrt(probabilities)
    np.testing.assert_allclose(warm.confidences, roots.max(axis=-1) / roots.sum(axis=-1))
