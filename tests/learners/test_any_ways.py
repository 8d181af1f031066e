"""Heads that are set from the support set answer as many classes as its labels tell apart."""

import dataclasses

import keras
import numpy as np
import pytest

import tfmeta
from tests.conformance import registry
from tests.learners.conftest import softmax
from tfmeta.learners.batch.any_ways import MOST_WAYS
from tfmeta.tasks import Examples, Task

# Classes 2 and 5 have no example; the network has 3 outputs.
LABELS = np.array([0, 4, 1, 3, 4, 0, 6, 1], "int32")
PRESENT = [0, 1, 3, 4, 6]
NAMES = registry.some(quick=("proto_maml", "r2d2"), any_ways=True)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 2)), rng.normal(size=(5, 2))


def compiled(name, **options):
    """A learner whose own variables, such as the shared vector, are not their initial ones."""
    learner = registry.LEARNERS[name].compiled("classification", **options)
    for variable in learner.parameter_variables[4:]:
        variable.assign(variable + 0.3)
    return learner


def with_outputs(learner, name, ways):
    """The same learner of a network that has so many outputs."""
    network = tfmeta.networks.mlp((4,), ways, input_dim=2, activation="tanh", dtype="float64")
    for index in (0, 1):
        network.trainable_variables[index].assign(learner.network.trainable_variables[index])
    made = registry.LEARNERS[name](network)
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pairs = zip(made.parameter_variables[4:], learner.parameter_variables[4:], strict=True)
    for variable, value in pairs:
        if variable.shape == value.shape:
            variable.assign(value)
    return made


def test_unsigned_labels_and_batches_of_other_forms_count_their_classes(task):
    support_x, query_x = (part[np.newaxis] for part in task)
    learner = compiled("r2d2")
    expected = learner.predict((support_x, LABELS[np.newaxis], query_x), verbose=0)
    assert expected.shape == (1, 5, 7)
    labels = np.uint8(LABELS)[np.newaxis]
    forms = [
        (support_x, labels, query_x),
        (support_x, labels, query_x, None),
        Task(Examples(support_x, labels), Examples(query_x)),
        Task(Examples(support_x, labels, np.ones(labels.shape)), Examples(query_x)),
    ]
    for form in forms:
        np.testing.assert_allclose(learner.predict(form, verbose=0), expected, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_labels_beyond_the_networks_outputs_are_answered_as_by_a_wider_network(
    name, task, tmp_path
):
    support_x, query_x = task
    learner = compiled(name)
    adapted = learner.adapt(support_x, LABELS)
    outputs = adapted.predict(query_x, verbose=0)
    assert outputs.shape == (5, 7)
    wide = with_outputs(learner, name, 7)
    expected = wide.adapt(support_x, LABELS).predict(query_x, verbose=0)
    np.testing.assert_allclose(outputs[:, PRESENT], expected[:, PRESENT], rtol=1e-9)
    probabilities = softmax(outputs)
    assert probabilities[:, [2, 5]].max() < 1e-25
    np.testing.assert_allclose(probabilities[:, PRESENT].sum(axis=1), 1)
    # Two tasks of one batch may differ in ways.
    other = np.array([0, 1, 0, 1, 0, 1, 0, 1], "int32")
    batch = (np.stack([support_x] * 2), np.stack([LABELS, other]), np.stack([query_x] * 2))
    both = learner.predict(batch, verbose=0)
    np.testing.assert_allclose(both[0], outputs, rtol=1e-6)
    assert softmax(both[1])[:, 2:].max() < 1e-25
    adapted.save(tmp_path / "adapted.keras")
    again = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(again.predict(query_x, verbose=0), outputs)


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_outputs_changes_no_answer(name, task):
    """Fewer classes than outputs: as by a network of as many outputs as classes."""
    support_x, query_x = task
    labels = np.array([0, 1, 0, 1, 1, 0, 1, 0], "int32")
    learner = compiled(name)
    narrow = with_outputs(learner, name, 2)
    outputs = learner.adapt(support_x, labels).predict(query_x, verbose=0)
    expected = narrow.adapt(support_x, labels).predict(query_x, verbose=0)
    np.testing.assert_allclose(outputs[:, :2], expected, rtol=1e-9)
    assert softmax(outputs)[:, 2].max() < 1e-25


def test_curves_and_weights_have_the_columns_of_the_labels_too(task):
    support_x, query_x = task
    learner = compiled("r2d2")
    x = (support_x[None], LABELS[None], query_x[None])
    outputs, losses = learner.adaptation_curve(x)
    assert outputs.shape == (1, 2, 5, 7)
    # Before the step all columns are 0, so the present classes are alike.
    np.testing.assert_allclose(losses[0, 0], np.log(len(PRESENT)))
    kernel, bias = learner.task_weights(*x[:2])[2:]
    assert kernel.shape == (1, 4, 7)
    np.testing.assert_allclose(
        outputs[0, 1, :, 0] - outputs[0, 1, :, 1], _difference(learner, kernel, bias, query_x)
    )


def _difference(learner, kernel, bias, query_x):
    features = np.tanh(query_x @ learner.network.weights[0] + learner.network.weights[1])
    logits = features @ kernel[0] + bias[0]
    return logits[:, 0] - logits[:, 1]


@pytest.mark.usefixtures("without_traces")
def test_one_hot_targets_have_as_many_classes_as_columns(task):
    support_x, query_x = task
    learner = registry.LEARNERS["r2d2"](registry.network())
    learner.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    sparse = compiled("r2d2")
    pairs = zip(learner.parameter_variables[4:], sparse.parameter_variables[4:], strict=True)
    for variable, value in pairs:
        variable.assign(value)
    outputs = learner.adapt(support_x, np.eye(7)[LABELS]).predict(query_x, verbose=0)
    expected = sparse.adapt(support_x, LABELS).predict(query_x, verbose=0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-9)


def test_padding_of_weight_0_is_of_no_class(task):
    support_x, _ = task
    learner = compiled("proto_maml")
    weights = np.where(LABELS > 2, 0.0, 1.0)
    kernel, bias = learner.task_weights(
        support_x[None], LABELS[None].clip(0, 2), support_weights=weights[None]
    )[2:]
    assert bias[0, 2] < -1e8
    assert np.all(kernel[0, :, 2] == 0)


def test_numbers_that_are_not_those_of_classes_are_refused(task):
    support_x, _ = task
    learner = compiled("r2d2")
    for label, match in ((MOST_WAYS, "must be below 1000"), (-1, "must be from 0 to 2")):
        labels = LABELS % 3
        labels[3] = label
        with pytest.raises(ValueError, match=match):
            learner.adapt(support_x, labels)
    with pytest.raises(ValueError, match="must be from 0 to 2, for 3 outputs"):
        compiled("maml").adapt(support_x, LABELS)


def test_a_loss_that_spreads_over_all_outputs_keeps_their_number():
    learner = registry.LEARNERS["unicorn_maml"](registry.network())
    assert not learner.any_ways
    learner.compile("adam", keras.losses.CategoricalCrossentropy(True, label_smoothing=0.1))
    assert not learner.any_ways
    learner.compile("adam", "mse")
    assert not learner.any_ways


def test_max_ways_is_refused_where_the_number_of_outputs_is_fixed(tmp_path):
    for name, received in (("maml", "MAML trains a head of 3"), ("fine_tuning", "FineTuning")):
        with pytest.raises(ValueError, match=f"max_ways is for learners that.*{received}"):
            compiled(name).export(tmp_path, max_ways=5)
    unicorn = registry.LEARNERS["unicorn_maml"].compiled("regression")
    with pytest.raises(ValueError, match="'mean_squared_error' is no plain cross-entropy"):
        unicorn.servable(max_ways=5)
    for wrong in (0, 2.5, True):
        with pytest.raises(ValueError, match="max_ways must be a whole number"):
            compiled("r2d2").servable(max_ways=wrong)
    servable = compiled("maml").servable()
    with pytest.raises(ValueError, match="max_ways must be the number of the servable's outputs"):
        dataclasses.replace(servable, max_ways=3)
