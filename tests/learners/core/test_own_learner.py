"""Learners written outside the library get training, saving and export as its own do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry
from tests.learners.conftest import relative_error
from tests.learners.core.own_learners import (
    CentroidMAML,
    momentum_learner,
)
from tfmeta.parts import GradientDescent
from tfmeta.saved_model import ExportedModel
from tfmeta.tasks.task import Examples, Task

MAKERS = {"momentum": momentum_learner, "centroid": CentroidMAML}
BATCH = registry.batch("classification")
CONFIG = {
    "momentum": {"adaptation", "gradient_rule"},
    "centroid": {"inner_rate", "shrink"},
}


def learner_of(name):
    learner = MAKERS[name](registry.network())
    learner.compile(keras.optimizers.Adam(0.03), registry.loss("classification"))
    return learner


@pytest.fixture(scope="module", params=MAKERS)
def trained(request):
    """(name, learner, losses): ten meta-steps on one batch."""
    learner = learner_of(request.param)
    losses = [learner.train_on_batch(*BATCH) for _ in range(10)]
    return request.param, learner, [float(loss) for loss in losses]


def one_task():
    (support_x, support_y, query_x), query_y = registry.batch("classification", tasks=1, seed=4)
    support, query = (support_x, support_y), (query_x, query_y)
    return Task(
        *(Examples(*(tf.constant(array[0]) for array in part)) for part in (support, query))
    )


def pure_values(learner):
    """(parameters, state, key) as the functions of one task take them."""
    parameters, state = (
        [tf.convert_to_tensor(variable) for variable in variables]
        for variables in (learner.parameter_variables, learner.state_variables)
    )
    return parameters, state, learner.task_keys(0, 1)[0]


def slope(loss, values, direction, step=1e-6):
    """The central difference of a loss along a direction."""
    ends = [
        loss([value + h * d for value, d in zip(values, direction, strict=True)])
        for h in (step, -step)
    ]
    return float(ends[0] - ends[1]) / (2 * step)


def inner(left, right):
    return sum(float(tf.reduce_sum(a * b)) for a, b in zip(left, right, strict=True))


def test_training_lowers_the_loss(trained):
    _, _, losses = trained
    assert losses[-1] < 0.95 * losses[0]


def test_the_gradient_through_the_class_means_equals_finite_differences():
    learner, task = learner_of("centroid"), one_task()
    parameters, state, key = pure_values(learner)
    gradient = learner.task_gradient(parameters, task, state, key).gradient

    def query_loss(parameters):
        adapted = learner.adapt_weights(parameters, task.support, 2, state, key)
        return learner.query_loss(adapted.weights, state, task)[1]

    assert slope(query_loss, parameters, gradient) == pytest.approx(
        inner(gradient, gradient), rel=1e-7
    )


def test_the_first_order_gradient_equals_finite_differences_at_the_adapted_weights():
    learner, task = learner_of("momentum"), one_task()
    parameters, state, key = pure_values(learner)
    gradient = learner.task_gradient(parameters, task, state, key).gradient  # no velocity yet
    reached = learner.adapt_weights(parameters, task.support, 2, state, key).weights

    def query_loss(weights):
        return learner.query_loss(weights, state, task)[1]

    assert slope(query_loss, reached, gradient) == pytest.approx(
        inner(gradient, gradient), rel=1e-7
    )


def test_inner_steps_follow_the_shrinking_rates():
    learner, task = learner_of("momentum"), one_task()
    parameters, state, key = pure_values(learner)
    weights = parameters
    for rate in (0.1, 0.05):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = learner.task_network.set_loss(
                weights, learner.network_state_of(state), task.support
            )
        gradients = tape.gradient(loss, weights)
        weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
    adapted = learner.adapt_weights(parameters, task.support, 2, state, key).weights
    assert relative_error(adapted, weights) < 1e-12


def test_momentum_gathers_the_mean_gradient_of_each_batch():
    learner = learner_of("momentum")
    first, _ = learner.meta_gradient(*BATCH)
    learner.optimizer.learning_rate = 0.0
    learner.train_on_batch(*BATCH)
    assert relative_error(learner.variables_of("velocity"), first) < 1e-12
    second, _ = learner.meta_gradient(*BATCH)
    assert relative_error(second, [1.9 * np.asarray(value) for value in first]) < 1e-12


def test_variables_of_gives_the_groups_of_network_and_parts():
    learner = learner_of("momentum")
    assert learner.variables_of("network") == learner.network.trainable_variables
    velocity = learner.variables_of("velocity")
    assert [v.shape for v in velocity] == [v.shape for v in learner.network.trainable_variables]
    assert {id(v) for v in velocity} <= {id(v) for v in learner.state_variables}


def test_a_saved_learner_answers_and_goes_on_as_before(trained, tmp_path):
    name, learner, _ = trained
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    assert type(loaded) is type(learner)
    assert set(loaded.get_config()) == set(learner.get_config())
    assert CONFIG[name] <= set(loaded.get_config())
    for group in ("network", "velocity") if name == "momentum" else ("network",):
        for old, new in zip(learner.variables_of(group), loaded.variables_of(group), strict=True):
            np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(
        learner.predict_on_batch(BATCH[0]), loaded.predict_on_batch(BATCH[0])
    )


@pytest.mark.parametrize("name", ["centroid", pytest.param("momentum", marks=pytest.mark.slow)])
def test_an_export_answers_as_the_learner_does(name, tmp_path):
    learner = learner_of(name)
    learner.export(tmp_path, warmup_sizes=[])
    support_x, support_y, query_x = (array[:1] for array in BATCH[0])
    support_x, query_x = (array.astype("float32") for array in (support_x, query_x))
    answer = ExportedModel(tmp_path)(
        "adapt_and_predict",
        support_inputs=support_x[0],
        support_targets=support_y[0],
        query_inputs=query_x[0],
    )
    own = learner.predict_on_batch((support_x, support_y, query_x))
    np.testing.assert_allclose(answer["logits"], own[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda network: CentroidMAML(network, shrink=0.0), r"shrink must be .* Received: 0\.0"),
        (lambda network: momentum_learner(network, inner_rate=-1.0), r"inner_rate.*-1"),
        (lambda network: CentroidMAML(network, shirnk=0.5), "Did you mean shrink="),
        (
            lambda network: CentroidMAML(network, adaptation=GradientDescent(rates=None)),
            "adaptation",
        ),
    ],
)
def test_a_wrong_field_of_a_part_gets_a_sentence(make, said):
    with pytest.raises((TypeError, ValueError), match=said):
        make(registry.network())
