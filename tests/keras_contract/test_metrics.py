"""Every metric of Keras sees all queries of all batches as one set, as stock Keras sees them."""

import re

import keras
import numpy as np
import pytest

import tfmeta
from tests.keras_contract import stock

M = keras.metrics
TASKS, QUERIES = 4, 5
RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 3, (TASKS, QUERIES))
HOT = np.eye(3, dtype="float32")[LABELS]
BITS = RNG.integers(0, 2, (TASKS, QUERIES)).astype("float32")
SETS = RNG.integers(0, 2, (TASKS, QUERIES, 3)).astype("float32")
NUMBERS = RNG.normal(size=(TASKS, QUERIES, 3)).astype("float32")
SPARSE = keras.losses.SparseCategoricalCrossentropy()


class Largest(M.Metric):
    """A metric with a state of its own."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self):
        return self.largest


def mean_distance(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


def regression():
    return [
        "mae",
        M.MeanSquaredError(name="squares"),
        M.RootMeanSquaredError(),
        M.R2Score(),
        M.CosineSimilarity(),
        M.LogCoshError(),
        mean_distance,
        Largest(),
    ]


def sparse():
    return [
        "accuracy",
        M.SparseTopKCategoricalAccuracy(k=2),
        M.SparseCategoricalCrossentropy(name="entropy"),
        M.MeanIoU(3, sparse_y_pred=False, name="mean_iou"),
    ]


def hot():
    return [
        "accuracy",
        M.F1Score(average="macro"),
        M.FBetaScore(beta=2.0),
        M.TopKCategoricalAccuracy(k=2),
        M.OneHotMeanIoU(3),
        M.AUC(name="auc"),
        M.KLDivergence(),
        M.Precision(class_id=1),
    ]


def binary():
    return [
        "accuracy",
        M.AUC(num_thresholds=50, name="auc"),
        M.Precision(),
        M.Recall(),
        M.TruePositives(),
        M.BinaryIoU(),
        M.SensitivityAtSpecificity(0.5, name="sensitivity"),
    ]


def binary_column():
    # Stock Keras refuses the entropy of targets [N] and outputs [N, 1].
    return [*binary(), M.BinaryCrossentropy(name="entropy"), M.Hinge()]


def multi_label():
    return [
        M.AUC(multi_label=True, num_labels=3, name="auc"),
        M.BinaryAccuracy(),
        M.F1Score(threshold=0.5),
        M.Precision(top_k=2),
    ]


CASES = {
    "regression": (regression, "mse", NUMBERS, None),
    "sparse": (sparse, SPARSE, LABELS, "softmax"),
    "sparse column": (sparse, SPARSE, LABELS[..., None], "softmax"),
    "one-hot": (hot, "categorical_crossentropy", HOT, "softmax"),
    "binary": (binary, "binary_crossentropy", BITS, "sigmoid"),
    "binary column": (binary_column, "binary_crossentropy", BITS[..., None], "sigmoid"),
    "multi-label": (multi_label, "binary_crossentropy", SETS, "sigmoid"),
}
QUICK = ("multi-label",)


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES]
)
@pytest.mark.filterwarnings("ignore:Metric .* does not support sample weights")
def test_metrics_are_those_of_all_queries_together(name):
    make, loss, targets, activation = CASES[name]
    network = stock.dense_network(1 if name.startswith("binary") else 3, activation)
    support, queries = stock.dense_tasks(TASKS, 5, QUERIES)
    weights = RNG.uniform(0.5, 2.0, (TASKS, QUERIES)).astype("float32")
    x, y = stock.flat(queries), stock.flat(targets)
    expected = stock.metrics_of(network, make(), x, y)
    weighted = stock.metrics_of(network, None, x, y, stock.flat(weights), make())

    learner = tfmeta.MAML(network, 0.1, inner_steps=0, parallel="sequential")
    learner.compile("sgd", loss, metrics=make())
    # Two batches of tasks of different sizes.
    found = learner.evaluate(
        (support, targets, queries), targets, batch_size=3, verbose=0, return_dict=True
    )
    found.pop("loss")
    compare(found, expected)
    learner.compile("sgd", loss, weighted_metrics=make())
    found = learner.evaluate(
        (support, targets, queries), targets, 4, sample_weight=weights, verbose=0, return_dict=True
    )
    found.pop("loss")
    compare(found, weighted)


def compare(found, expected):
    """Compares two dicts of metrics, whose names may end in counters of the process."""
    found, expected = (
        {re.sub(r"_\d+$", "", name): value for name, value in each.items()}
        for each in (found, expected)
    )
    assert found.keys() == expected.keys()
    for metric, value in expected.items():
        np.testing.assert_allclose(found[metric], value, atol=1e-5, err_msg=metric)


@pytest.mark.slow
def test_metrics_with_state_are_made_once_in_fit_and_reset_each_epoch():
    network = stock.dense_network(3, "softmax")
    support, queries = stock.dense_tasks(TASKS, 5, QUERIES)
    learner = tfmeta.MAML(network, 0.1)
    metrics = [M.F1Score(average="macro"), M.AUC(multi_label=True, num_labels=3, name="auc")]
    learner.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=metrics)
    data = (support, HOT, queries), HOT
    found = learner.fit(*data, batch_size=2, epochs=2, verbose=0, validation_data=data).history
    for name in ("f1_score", "auc"):
        assert found[name][0] == pytest.approx(found[name][1], abs=1e-6)
        assert found[name][0] == pytest.approx(found[f"val_{name}"][0], abs=1e-6)


def test_a_learner_compiled_again_reports_the_metrics_of_the_last_time():
    network = stock.dense_network(3)
    support, queries = stock.dense_tasks(TASKS, 5, QUERIES)
    by_hand = np.mean((network(stock.flat(queries)).numpy() - stock.flat(NUMBERS)) ** 2)
    learner = tfmeta.MAML(network, 0.1, inner_steps=0, parallel="sequential")
    for _ in range(2):
        squares = M.MeanSquaredError(name="squares")
        learner.compile("sgd", "mse", metrics=[squares], run_eagerly=True)
        found = learner.evaluate((support, NUMBERS, queries), NUMBERS, verbose=0, return_dict=True)
        assert found["squares"] == pytest.approx(by_hand, rel=1e-5)
