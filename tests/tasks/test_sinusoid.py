"""Sinusoids: the paper's ranges, and what the oracle knows."""

import math

import numpy as np
import pytest

import tfmeta
from tfmeta.tasks.sinusoid import sinusoid_curve


def parameters(tasks, **options):
    drawn = [tfmeta.tasks.sinusoid_parameters(3, index, "train", **options) for index in tasks]
    return [np.stack([value.numpy() for value in part]) for part in zip(*drawn, strict=True)]


def test_amplitude_phase_and_inputs_fill_the_papers_ranges():
    amplitude, phase = parameters(range(400))
    assert 0.1 <= amplitude.min() < 0.2
    assert 4.9 < amplitude.max() < 5.0
    assert 0 <= phase.min() < 0.05
    assert math.pi - 0.05 < phase.max() < math.pi
    (x, _, _), _ = next(iter(tfmeta.tasks.sinusoid("train", shots=100, seed=3).batch(50)))
    assert -5 <= x.numpy().min() < -4.99
    assert 4.99 < x.numpy().max() < 5


def test_targets_are_the_sine_of_the_tasks_parameters():
    stream = tfmeta.tasks.sinusoid("train", shots=5, queries=7, seed=3)
    (support_x, support_y, query_x), query_y = next(iter(stream.batch(20)))
    amplitude, phase = parameters(range(20))
    for x, y in ((support_x, support_y), (query_x, query_y)):
        expected = amplitude[:, None] * np.sin(x.numpy() - phase)
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_the_curve_of_a_task_does_not_depend_on_its_shots():
    for shots in (5, 20):
        (x, y, _), _ = tfmeta.tasks.sinusoid("test", shots=shots, seed=1).sample(4)
        amplitude, phase = tfmeta.tasks.sinusoid_parameters(1, 4, "test")
        np.testing.assert_allclose(sinusoid_curve(x, amplitude, phase), y, atol=1e-6)


def test_there_are_as_many_queries_as_shots_unless_asked_otherwise():
    stream = tfmeta.tasks.sinusoid("train", shots=7)
    assert stream.element_spec[1].shape == (7, 1)
    assert stream.info["queries"] == 7
    assert stream.info["data_sha256"] is None


def test_more_dimensions_sum_sines_and_keep_the_variance():
    options = {"input_dim": 7, "output_dim": 3}
    stream = tfmeta.tasks.sinusoid("train", shots=400, queries=1, seed=3, **options)
    (x, y, _), _ = next(iter(stream.batch(30)))
    assert x.shape == (30, 400, 7)
    assert y.shape == (30, 400, 3)
    amplitude, phase = parameters(range(30), **options)
    assert amplitude.shape == (30, 3)
    assert phase.shape == (30, 3, 7)
    waves = np.sin(x.numpy()[:, :, None] - phase[:, None])
    np.testing.assert_allclose(y, amplitude[:, None] * waves.sum(-1) / 7**0.5, atol=1e-5)
    # A sine of uniform phase has variance 1/2; the task's phases are fixed, hence the tolerance.
    spread = y.numpy().var(axis=1) / amplitude**2
    assert abs(spread.mean() - 0.5) < 0.05


def test_splits_hold_other_curves_and_other_inputs():
    splits = ("train", "validation", "test")
    for part in range(2):
        drawn = {tfmeta.tasks.sinusoid_parameters(3, 0, s)[part].numpy().item() for s in splits}
        assert len(drawn) == 3
    inputs = [tfmeta.tasks.sinusoid(split, seed=3).sample(0)[0][0].numpy() for split in splits]
    assert not (inputs[0] == inputs[1]).any()
    assert not (inputs[1] == inputs[2]).any()


def test_amplitude_phase_and_inputs_of_a_task_are_independent():
    # Two words a task for the curve and for the inputs: draws under one key would be the same.
    stream = tfmeta.tasks.sinusoid("train", shots=1, queries=1, seed=3)
    (support_x, _, query_x), _ = next(iter(stream.batch(300)))
    drawn = [*parameters(range(300)), support_x.numpy(), query_x.numpy()]
    correlations = np.corrcoef([part.ravel() for part in drawn]) - np.eye(4)
    assert np.abs(correlations).max() < 5 / 300**0.5


def test_an_unknown_split_lists_the_splits():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test'\. Received: 'trian'"):
        tfmeta.tasks.sinusoid("trian")


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match=r"amplitudes must be a lowest and a highest value"):
        tfmeta.tasks.sinusoid("train", amplitudes=(5.0, 0.1))
