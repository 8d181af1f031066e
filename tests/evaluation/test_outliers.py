"""Queries of none of the task's classes: scores, threshold, and what is measured of them."""

import functools

import keras
import numpy as np
import pytest

import tfmeta
from tests.conformance import registry
from tfmeta.evaluation import outliers
from tfmeta.learners.answers.outlier_scores import scores_of

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CLASSES, EACH = 20, 12


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 1, 2, 2, 0, 0, 1], "int32")
    return rng.normal(size=(1, 8, 2)), labels[None], rng.normal(size=(1, 5, 2))


@pytest.fixture(scope="module")
def stream():
    """Points in clusters: `stream(split, ways=...)`."""
    rng = np.random.default_rng(1)
    centres = rng.normal(scale=4, size=(CLASSES, 2))
    points = np.repeat(centres, EACH, axis=0) + rng.normal(scale=0.4, size=(CLASSES * EACH, 2))
    labels = np.repeat(np.arange(CLASSES), EACH)
    options = {"dtype": "float32", "validation_fraction": 0.3, "test_fraction": 0.3}
    return functools.partial(
        tfmeta.tasks.from_arrays, points, labels, shots=3, queries=4, **options
    )


def prototypes_of_points():
    """A prototypical network whose embedding is the points themselves."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(3)])
    network.layers[0].set_weights([np.eye(2), np.zeros(2)])
    learner = tfmeta.PrototypicalNetwork(network)
    learner.compile(loss=LOSS)
    return learner


QUICK, SLOW = ("maml", "unicorn_maml"), ("reptile", "platipus", "bmaml", "mt_net")


@pytest.mark.parametrize("name", registry.some(quick=QUICK, slow=SLOW, classifies=False))
def test_scores_are_those_of_the_logits(name, task):
    learner = registry.LEARNERS[name].compiled("classification")
    names = scores_of(learner)
    found = learner.outlier_scores(task, names)
    # Of an evaluation's draws, as the scores are; `predict` has draws of its own.
    logits = learner.adaptation_curve(task)[0][:, -1].numpy().astype("float64")
    np.testing.assert_allclose(found["max_logit"], -logits.max(axis=-1), rtol=1e-5)
    if "energy" in names:
        expected = -np.log(np.exp(logits).sum(axis=-1))
        np.testing.assert_allclose(found["energy"], expected, rtol=1e-5)
    assert found["max_logit"].shape == (1, 5)


def test_the_distance_to_the_nearest_prototype_is_numpys(task):
    support_x, labels, query_x = (part[0] for part in task)
    learner = registry.LEARNERS["prototypical_network"].compiled("classification")
    found = learner.outlier_scores(task, "nearest_prototype")[0]
    kernel, bias = learner.network.weights[:2]

    def embed(x):
        return np.tanh(x @ kernel + bias)

    centres = np.stack([embed(support_x[labels == label]).mean(axis=0) for label in range(3)])
    distances = ((embed(query_x)[:, None] - centres) ** 2).sum(axis=-1)
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-9)


def test_scores_that_a_learner_cannot_have_are_refused(task):
    maml = registry.LEARNERS["maml"]
    with pytest.raises(ValueError, match="one of 'max_logit', 'energy' for a MAML"):
        maml.compiled("classification").outlier_scores(task, "nearest_prototype")
    with pytest.raises(ValueError, match="Outlier scores are for classifiers"):
        maml.compiled("regression").outlier_scores(task)
    # Before the first step the head is as it was initialised, and no prototype exists.
    prototypes = registry.LEARNERS["prototypical_network"].compiled("classification")
    with pytest.raises(ValueError, match=r"inner_steps=0\. Pass inner_steps=1"):
        prototypes.outlier_scores(task, "nearest_prototype", inner_steps=0)
    assert np.isfinite(prototypes.outlier_scores(task, "energy", inner_steps=0)).all()
    # The logarithms of probabilities have the energy 0, whatever the query.
    for name in ("bmaml", "matching_network"):
        assert scores_of(registry.LEARNERS[name].compiled("classification")) == ("max_logit",)


def test_the_area_under_the_curve_is_that_of_the_ranks():
    rng = np.random.default_rng(2)
    known, strangers = rng.normal(size=30), rng.normal(loc=0.7, size=20)
    ranks = np.concatenate([known, strangers]).argsort().argsort()[30:] + 1
    expected = (ranks.sum() - 20 * 21 / 2) / (30 * 20)
    assert outliers.auroc(known, strangers) == pytest.approx(expected)
    assert outliers.auroc(np.zeros(3), np.zeros(2)) == 0.5


def test_strangers_are_the_queries_of_the_other_half_of_the_classes(stream):
    batch = next(iter(stream("test", ways=6).batch(5)))
    (support_x, support_y, query_x), strange = outliers.with_strangers(batch, 3)
    assert support_x.shape == (5, 9, 2)
    assert support_y.max() == 2
    assert query_x.shape == (5, 24, 2)
    np.testing.assert_array_equal(strange.sum(axis=1), [12] * 5)
    # The support examples kept are those of the task of three classes.
    kept = np.asarray(batch[0][0])[np.asarray(batch[0][1]) < 3].reshape(5, 9, 2)
    np.testing.assert_array_equal(support_x, kept)


def test_the_best_score_of_the_validation_tasks_is_kept_with_its_threshold(stream):
    learner = prototypes_of_points()
    streams = stream("validation", ways=6, seed=1), stream("test", ways=6, seed=2)
    found = outliers.measure_outliers(learner, *streams, tasks=60)
    # Distances tell strangers, far logits do not: they grow with the point's own length.
    assert found["score"] == "nearest_prototype"
    assert found["scores"]["nearest_prototype"]["mean"] > 0.9
    assert found["scores"]["energy"]["mean"] < found["scores"]["nearest_prototype"]["mean"]
    assert (found["ways"], found["shots"], found["inner_steps"]) == (3, 3, 1)
    x, strange = outliers.with_strangers(next(iter(streams[0].batch(60))), 3)
    own = np.asarray(learner.outlier_scores(x, "nearest_prototype"))[~strange]
    assert np.mean(own > found["threshold"]) == pytest.approx(0.05, abs=0.002)
    x, strange = outliers.with_strangers(next(iter(streams[1].batch(60))), 3)
    above = np.asarray(learner.outlier_scores(x, "nearest_prototype")) > found["threshold"]
    assert found["test"]["recall"]["mean"] == pytest.approx(above[strange].mean())
    assert found["test"]["false_alarms"]["mean"] == pytest.approx(above[~strange].mean())
    assert found["test"]["diverged"] == 0


def test_tasks_of_another_kind_or_size_are_refused(stream):
    learner = prototypes_of_points()
    for wrong, match in (
        ({"ways": 5}, "twice the ways. Received: .*ways=5"),
        ({"ways": (2, 6)}, "of one size"),
        ({"ways": 6, "shots": 1}, "Validation and test tasks must be of one size"),
    ):
        with pytest.raises(ValueError, match=match):
            outliers.measure_outliers(
                learner, stream("validation", **wrong), stream("test", ways=6)
            )
    with pytest.raises(ValueError, match="Strangers are drawn with the tasks"):
        outliers.half_of_ways(tfmeta.tasks.sinusoid().info)
