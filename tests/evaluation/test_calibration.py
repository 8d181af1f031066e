"""Calibration measured where it is known."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.evaluation import calibration


def test_the_error_of_bins_is_that_worked_out_by_hand():
    confidences = np.array([0.9, 0.92, 0.5, 0.5])
    found = calibration.reliability(confidences, np.array([1, 0, 1, 1]))
    assert found["calibration_error"] == pytest.approx(0.5 * (0.91 - 0.5) + 0.5 * 0.5)
    assert [b["count"] for b in found["bins"]] == [2, 2]


def test_bins_are_fifteen_of_equal_width_with_their_own_means():
    confidences = np.array([0.06, 0.07, 0.40, 0.46, 0.47, 1.0])
    found = calibration.reliability(confidences, np.array([0, 1, 1, 1, 0, 1]))
    expected = [(0.06, 0.0, 1), (0.07, 1.0, 1), (0.43, 1.0, 2), (0.47, 0.0, 1), (1.0, 1.0, 1)]
    assert [(b["confidence"], b["accuracy"], b["count"]) for b in found["bins"]] == [
        pytest.approx(values) for values in expected
    ]
    gaps = 0.06 + 0.93 + 2 * 0.57 + 0.47
    assert found["calibration_error"] == pytest.approx(gaps / 6)


def test_levels_count_the_targets_within_central_intervals():
    # Their central intervals begin at widths 0, 0.2, 0.2, 0.98.
    found = calibration.coverage(np.array([0.5, 0.4, 0.6, 0.01]))
    levels = np.arange(1, 20) / 20
    observed = np.where(levels < 0.199, 0.25, 0.75)
    assert [level["expected"] for level in found["levels"]] == pytest.approx(levels)
    assert [level["observed"] for level in found["levels"][:3]] == [0.25] * 3
    assert [level["observed"] for level in found["levels"][4:]] == [0.75] * 15
    exact = [level["observed"] for level in found["levels"]]  # 0.2 itself is a matter of rounding
    assert found["calibration_error"] == pytest.approx(np.abs(levels - exact).mean())
    assert np.abs(observed - exact).sum() < 0.51


def test_quantiles_and_densities_of_a_mixture_are_those_of_its_gaussians():
    samples, targets = np.array([0.0, 2.0]).reshape(1, 2, 1, 1), np.array([[[1.0]]])
    # One standard deviation above the first Gaussian's mean, one below the second's.
    assert calibration.gaussian_mixture_quantiles(samples, targets, 1.0) == pytest.approx(0.5)
    assert calibration.gaussian_mixture_quantiles(samples[:, :1], targets, 1.0) == pytest.approx(
        0.8413447
    )
    assert calibration.gaussian_mixture_log_density(samples, targets, 1.0) == pytest.approx(
        -0.5 - 0.9189385
    )


class OneAnswer:
    """A regression that answers each query by its input, with a deviation of 1."""

    noise = 1.0
    loss_function = types.SimpleNamespace(loss=keras.losses.MeanSquaredError())

    def task_keys(self, first, count, purpose):
        return tf.zeros([count, 2], tf.int32)

    def predictive(self, x, inner_steps=None, seed=None):
        return types.SimpleNamespace(samples=tf.constant(np.asarray(x[2])[:, None]))


def test_the_interval_is_over_tasks_by_the_root_of_their_number():
    stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1)
    found = calibration.calibrate(OneAnswer(), stream, 9, tasks_per_batch=4)
    (_, _, query_x), query_y = next(iter(stream.batch(9)))
    errors = np.asarray(query_y - query_x, "float64")[..., 0]
    each = np.mean(0.5 * errors**2 + 0.5 * np.log(2 * np.pi), axis=1)
    likelihood = found["negative_log_likelihood"]
    assert likelihood["mean"] == pytest.approx(each.mean())
    assert likelihood["interval95"] == pytest.approx(1.96 * each.std(ddof=1) / 3)


def test_a_classifier_that_is_as_right_as_it_says_has_no_error():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.2, 1.0, size=200_000)
    right = rng.uniform(size=confidences.shape) < confidences
    assert calibration.reliability(confidences, right)["calibration_error"] < 0.01
    assert calibration.reliability(np.minimum(confidences + 0.2, 1), right)[
        "calibration_error"
    ] == pytest.approx(0.175, abs=0.02)


def test_targets_drawn_from_the_predictive_lie_in_its_intervals_as_often_as_they_should():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 3, 50, 1))
    chosen = np.take_along_axis(samples, rng.integers(3, size=(200, 1, 50, 1)), axis=1)[:, 0]
    targets = chosen + 0.5 * rng.normal(size=chosen.shape)
    quantiles = calibration.gaussian_mixture_quantiles(samples, targets, 0.5)
    logs = calibration.gaussian_mixture_log_density(samples, targets, 0.5)
    assert calibration.coverage(quantiles)["calibration_error"] < 0.01
    density = np.exp(-0.5 * ((targets[:, None] - samples) / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(logs, np.log(density.mean(axis=1)[..., 0]))
    narrow = calibration.gaussian_mixture_quantiles(samples, targets, 0.1)
    assert calibration.coverage(narrow)["calibration_error"] > 0.05


def regression(learner):
    learner.compile("sgd", "mse")
    return learner


def test_learners_of_one_answer_and_of_samples_are_measured_alike():
    stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1)
    network = tfmeta.networks.mlp(hidden=(4,))
    maml = regression(tfmeta.MAML(network, 0.01))
    one = regression(tfmeta.BFA(network, 0.01, particles=1, spread=0.0, noise=2.0))
    ours = calibration.calibrate(one, stream, 4, tasks_per_batch=2)
    theirs = calibration.calibrate(maml, stream, 4, noise=2.0, tasks_per_batch=2)
    assert ours["negative_log_likelihood"]["mean"] == pytest.approx(
        theirs["negative_log_likelihood"]["mean"], rel=1e-5
    )
    (sx, sy, qx), qy = next(iter(stream.batch(4)))
    each = one.log_likelihood((sx, sy, qx), qy)
    assert ours["negative_log_likelihood"]["mean"] == pytest.approx(-np.mean(each), rel=1e-5)
    with pytest.raises(ValueError, match="needs the deviation of its targets"):
        calibration.calibrate(maml, stream, 4)


def test_a_classifiers_likelihood_is_its_cross_entropy():
    keras.utils.set_random_seed(0)
    stream = tfmeta.tasks.glyphs("test", ways=3, shots=1, queries=2, seed=1)
    network = tfmeta.networks.nonconv(3, (28, 28, 1), hidden=(4,))
    learner = tfmeta.MAML(network, 0.1)
    learner.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
    )
    found = calibration.calibrate(learner, stream, 4, tasks_per_batch=2)
    expected = learner.evaluate(stream.batch(2), steps=2, verbose=0, return_dict=True)
    assert found["negative_log_likelihood"]["mean"] == pytest.approx(expected["loss"], rel=1e-4)
    right = sum(b["accuracy"] * b["count"] for b in found["bins"])
    assert right / 24 == pytest.approx(expected["accuracy"], abs=1e-6)


class HalfOfWhoseTasksDiverge(OneAnswer):
    """A learner of two samples whose every second task has an answer that is no number."""

    noise = 0.5
    loss_function = types.SimpleNamespace(loss=keras.losses.MeanSquaredError())

    def predictive(self, x, inner_steps=None, seed=None):
        samples = np.repeat(np.asarray(x[2])[:, None], 2, axis=1)
        samples[1::2, 0, 0] = np.nan
        return types.SimpleNamespace(samples=tf.constant(samples))


def test_tasks_that_diverged_are_counted_and_left_out():
    stream = tfmeta.tasks.sinusoid("test", shots=5, seed=1)
    found = calibration.calibrate(HalfOfWhoseTasksDiverge(), stream, 4, tasks_per_batch=4)
    (_, _, query_x), query_y = next(iter(stream.batch(4)))
    error = (np.asarray(query_y) - np.asarray(query_x))[::2]
    expected = np.mean(0.5 * (error / 0.5) ** 2 + np.log(0.5) + 0.5 * np.log(2 * np.pi))
    assert found["diverged"] == 2
    assert found["negative_log_likelihood"]["mean"] == pytest.approx(expected, rel=1e-5)
    assert json.dumps(found, allow_nan=False)


class EchoOfQueries(HalfOfWhoseTasksDiverge):
    """A learner that predicts its query inputs."""

    def predictive(self, x, inner_steps=None, seed=None):
        return types.SimpleNamespace(samples=x[2][:, tf.newaxis])


def test_queries_that_fill_a_task_up_are_not_judged():
    generator = np.random.default_rng(0)
    sets = [(generator.normal(size=(n, 1)), generator.normal(size=(n, 1))) for n in (3, 8)]
    stream = tfmeta.tasks.from_tasks(sets, shots=1, queries=7)
    found = calibration.calibrate(EchoOfQueries(), stream, 2, tasks_per_batch=2)
    means = []
    for index in (0, 1):
        (_, _, query_x, _), query_y, weights = stream.sample(index)
        error = (query_y - query_x)[weights > 0]
        means.append(np.mean(2 * error**2 + np.log(0.5) + 0.5 * np.log(2 * np.pi)))
    assert found["negative_log_likelihood"]["mean"] == pytest.approx(np.mean(means), rel=1e-5)
    assert found["levels"][-1]["observed"] * 9 == pytest.approx(
        round(found["levels"][-1]["observed"] * 9)  # of 2 + 7 queries
    )


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_where_every_task_diverged_nothing_is_known(loss):
    if loss == "mse":
        stream, network = tfmeta.tasks.sinusoid("test", shots=5), tfmeta.networks.mlp(hidden=(4,))
    else:
        stream = tfmeta.tasks.glyphs("test", ways=3, shots=1, queries=2, seed=1)
        network = tfmeta.networks.nonconv(3, (28, 28, 1), hidden=(4,))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner = tfmeta.MAML(network, 1e30, test_inner_steps=3)
    learner.compile("sgd", loss)
    found = calibration.calibrate(learner, stream, 2, noise=1.0, tasks_per_batch=2)
    assert found["diverged"] == 2
    assert found["calibration_error"] is None
    assert found["negative_log_likelihood"] == {"mean": None, "interval95": None}
    assert json.dumps(found, allow_nan=False)


def test_queries_of_the_ignored_class_are_not_judged():
    probabilities = np.array([[[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]], "float32")
    learner = EchoOfQueries()
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=9)
    learner.loss_function = types.SimpleNamespace(loss=loss)
    labels = np.array([[0, 9, 1]])
    batch = (probabilities, labels, probabilities), labels
    found = calibration.calibrate(learner, tf.data.Dataset.from_tensors(batch).unbatch(), 1)
    by_hand = -np.mean(np.log([0.7, 0.4]))
    assert found["negative_log_likelihood"]["mean"] == pytest.approx(by_hand, rel=1e-5)
    assert [b["count"] for b in found["bins"]] == [1, 1]
    assert found["calibration_error"] == pytest.approx((0.3 + 0.6) / 2, rel=1e-5)
