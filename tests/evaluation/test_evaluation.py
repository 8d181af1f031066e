"""What a learner is worth: metrics, intervals, diverged tasks, the JSON."""

import json

import keras
import numpy as np
import pytest

import tfmeta
from tfmeta import evaluation
from tfmeta.evaluation import curves

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _summary(metric, values, diverged=None):
    values = np.asarray(values, dtype=float)
    diverged = np.zeros(len(values), bool) if diverged is None else np.asarray(diverged)
    return curves._summary(metric, values, diverged)


def test_the_interval_is_1_96_standard_deviations_of_the_mean():
    values = np.random.default_rng(0).normal(size=(600, 2))
    found = _summary("loss", values)
    np.testing.assert_allclose(found["mean"], values.mean(axis=0))
    np.testing.assert_allclose(
        found["interval95"], 1.96 * values.std(axis=0, ddof=1) / np.sqrt(600)
    )
    np.testing.assert_allclose(found["median"], np.median(values, axis=0))


def test_a_diverged_task_is_counted_and_left_out_of_a_loss_but_not_of_its_median():
    found = _summary("loss", [[1.0], [2.0], [np.inf]], [False, False, True])
    assert found == {
        "mean": [1.5],
        "interval95": [pytest.approx(1.96 * np.sqrt(0.5) / np.sqrt(2))],
        "median": [2.0],
        "diverged": 1,
    }


def test_a_diverged_task_counts_in_an_accuracy():
    assert _summary("accuracy", [[1.0], [0.0]], [False, True])["mean"] == [0.5]


def test_what_is_not_finite_is_null_in_json():
    found = _summary("loss", [[np.nan], [np.nan]], [True, True])
    assert (found["mean"], found["interval95"], found["median"]) == ([None], [None], [None])
    json.dumps(found, allow_nan=False)


def test_a_task_diverges_when_its_support_loss_rises_tenfold_or_is_not_finite():
    support = np.array(
        [
            [1.0, 0.5, 0.1],  # went down
            [1.0, 60.0, 0.1],  # rose on the way
            [0.01, 1.0, 0.9],  # rose a hundredfold, though not above ten mean losses
            [40.0, 90.0, 20.0],  # began high
            [1.0, np.nan, np.nan],
        ]
    )
    columns = {"loss": np.zeros_like(support)}
    # The mean of the losses before adaptation is 8.6: without the fourth task it is 0.75.
    few = np.array([0, 1, 2, 4])
    found = evaluation.diverged_tasks(support[few], {"loss": columns["loss"][few]})
    np.testing.assert_array_equal(found, [False, True, False, True])
    assert not evaluation.diverged_tasks(support, columns)[3]


def _one_hot(labels):
    return np.eye(3, dtype="float32")[labels]


@pytest.mark.parametrize(
    ("loss", "targets", "scores"),
    [
        (SPARSE, [[0, 1]], [[2.0, 1.0, 0.0], [3.0, 1.0, 0.0]]),
        ("sparse_categorical_crossentropy", [[[0], [1]]], [[0.6, 0.2, 0.2], [0.5, 0.4, 0.1]]),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            _one_hot([[0, 1]]),
            [[2.0, 1.0, 0.0], [3.0, 1.0, 0.0]],
        ),
        (keras.losses.BinaryCrossentropy(from_logits=True), [[[1], [1]]], [[0.3], [-0.3]]),
        (keras.losses.BinaryCrossentropy(), [[[1], [1]]], [[0.7], [0.3]]),
    ],
)
def test_accuracy_is_right_for_each_kind_of_cross_entropy(loss, targets, scores):
    outputs = np.asarray(scores, dtype="float32")[None, None]
    found = evaluation.query_metrics(loss, np.asarray(targets), outputs)
    np.testing.assert_array_equal(found["accuracy"], [[0.5]])
    assert found["loss"].shape == (1, 1)


def test_an_answer_that_is_not_finite_is_wrong():
    outputs = np.array([[np.nan, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype="float32")[None, None]
    found = evaluation.query_metrics(SPARSE, np.array([[0, 0]]), outputs)
    np.testing.assert_array_equal(found["accuracy"], [[0.5]])


def test_the_loss_is_that_of_keras_for_each_task_and_step():
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(2, 3, 4, 5)).astype("float32")
    targets = generator.integers(5, size=(2, 4))
    found = evaluation.query_metrics(SPARSE, targets, outputs)["loss"]
    for task in range(2):
        for step in range(3):
            expected = SPARSE(targets[task], outputs[task, step])
            assert found[task, step] == pytest.approx(float(expected), rel=1e-5)


def test_regression_gives_the_mean_squared_error():
    outputs, targets = np.full((1, 1, 2, 1), 3.0, "float32"), np.zeros((1, 2, 1), "float32")
    found = evaluation.query_metrics("mean_squared_error", targets, outputs)
    assert {name: values.tolist() for name, values in found.items()} == {
        "mean_squared_error": [[9.0]]
    }
    assert set(evaluation.query_metrics(keras.losses.Huber(), targets, outputs)) == {
        "mean_squared_error",
        "loss",
    }


@pytest.fixture(scope="module")
def learner():
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.nonconv(ways=3, hidden=(8,))
    learner = tfmeta.MAML(network, inner_rate=0.5, inner_steps=1, test_inner_steps=2)
    learner.compile("sgd", SPARSE)
    return learner


def _stream():
    return tfmeta.tasks.glyphs("test", ways=3, shots=1, queries=2, seed=5)


def test_the_report_is_that_of_the_design(learner):
    modes = ("transductive", "inductive")
    results = evaluation.evaluate_learner(
        learner, _stream(), 6, normalizations=modes, tasks_per_batch=4
    )
    report = evaluation.report_of(
        learner, _stream(), results, split="test", tasks=6, inner_steps=2, seed=5,
        checkpoint="last", step=0,
    )  # fmt: skip
    assert report["schema_version"] == 1
    wanted = {"split", "tasks", "ways", "shots", "queries", "inner_steps", "seed"}
    assert wanted | {"checkpoint", "step", "data_sha256"} <= set(report["protocol"])
    assert set(report["results"]) == set(modes)
    for metrics in report["results"].values():
        assert set(metrics) == {"accuracy", "loss"}
        for summary in metrics.values():
            assert set(summary) == {"mean", "interval95", "median", "diverged"}
            assert len(summary["mean"]) == len(summary["interval95"]) == 3
    json.dumps(report, allow_nan=False)
    text = evaluation.table(report)
    assert "transductive" in text
    assert "6 tasks" in text


def test_the_numbers_are_those_of_predicting_each_task(learner):
    results = evaluation.evaluate_learner(learner, _stream(), 4, tasks_per_batch=4)
    inputs, targets = next(iter(_stream().batch(4)))
    answers = learner.predict(inputs, verbose=0).argmax(-1)
    expected = (answers == targets.numpy()).mean()
    assert results["transductive"]["accuracy"]["mean"][-1] == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 4])
def test_a_stream_of_fewer_tasks_than_are_asked_for_is_refused(learner, count):
    stream = tfmeta.tasks.glyphs("test", ways=3, shots=1, queries=2, count=4)
    short = stream.batch(4).take(count // 4)

    class Short:
        def batch(self, tasks):
            assert tasks == 4
            return short

    with pytest.raises(ValueError, match=f"tasks=6, and a stream of {count}"):
        evaluation.evaluate_learner(learner, Short(), 6, tasks_per_batch=4)


def test_batches_do_not_change_the_numbers(learner):
    one, other = (
        evaluation.evaluate_learner(learner, _stream(), 6, tasks_per_batch=batch)["transductive"]
        for batch in (4, 6)
    )
    assert one["accuracy"]["mean"] == other["accuracy"]["mean"]
    # Vectorised over another number of tasks, float32 rounds otherwise.
    np.testing.assert_allclose(one["loss"]["mean"], other["loss"]["mean"], rtol=1e-4)


@pytest.mark.parametrize("ignored", [0, 255])
def test_ignored_labels_and_queries_of_weight_0_leave_every_metric(ignored):
    generator = np.random.default_rng(4)
    outputs = generator.normal(size=(2, 3, 6, 4)).astype("float32")
    labels = generator.integers(1, 4, (2, 6))
    labels[:, ::3] = ignored
    weights = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1]], "float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored)
    found = evaluation.query_metrics(loss, labels, outputs, weights)
    for task in range(2):
        here = (labels[task] != ignored) & (weights[task] > 0)
        for step in range(3):
            answers, right = outputs[task, step][here], labels[task][here]
            plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            assert found["loss"][task, step] == pytest.approx(
                float(plain(right, answers)), rel=1e-5
            )
            accuracy = (answers.argmax(-1) == right).mean()
            assert found["accuracy"][task, step] == pytest.approx(accuracy)


def test_losses_of_one_number_or_a_sum_are_keras_own_of_each_task():
    generator = np.random.default_rng(4)
    outputs = generator.uniform(size=(2, 2, 5, 3)).astype("float32")
    targets = generator.uniform(size=(2, 5, 3)).astype("float32")
    for loss in (keras.losses.Dice(), keras.losses.MeanAbsoluteError(reduction="sum")):
        found = evaluation.query_metrics(loss, targets, outputs)["loss"]
        for task, step in np.ndindex(2, 2):
            expected = float(loss(targets[task], outputs[task, step]))
            assert found[task, step] == pytest.approx(expected, rel=1e-5)
