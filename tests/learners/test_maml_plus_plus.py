"""MAML++: each switch against its definition, all of them off against MAML."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract.eagerly import eagerly
from tests.learners.conftest import compiled, relative_error, squared_error, values
from tfmeta.learners.maml_plus_plus import step_loss_weights

OFF = {"multi_step_loss_steps": 0, "learn_rates": False, "per_step_weights": False}


def plus_plus(problem, steps=3, network=None, **options):
    network = network or problem.network()
    return compiled(tfmeta.MAMLPlusPlus(network, 0.3, steps, **options))


def normalised_network():
    keras.utils.set_random_seed(1)
    with_norm = [
        keras.Input((2,), dtype="float64"),
        keras.layers.Dense(4, dtype="float64", name="hidden"),
        keras.layers.BatchNormalization(momentum=0.8, dtype="float64", name="norm"),
        keras.layers.Activation("tanh", dtype="float64"),
        keras.layers.Dense(2, dtype="float64", name="head"),
    ]
    return keras.Sequential(with_norm)


def means(gradients):
    return [np.mean(parts, axis=0) for parts in zip(*gradients, strict=True)]


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("first_order", [False, True])
def test_with_all_switches_off_it_is_maml(problem, first_order):
    learner = plus_plus(problem, first_order=first_order, **OFF)
    maml = compiled(tfmeta.MAML(problem.network(), 0.3, 3, first_order=first_order))
    for actual, expected in zip(
        learner.meta_gradient(*problem.batch)[0], maml.meta_gradient(*problem.batch)[0], strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


def author_weights(epoch, epochs, steps):
    """The authors' code, by epoch, in a line a rule."""
    decay, least = 1 / steps / epochs, 0.03 / steps
    earlier = [max(1 / steps - epoch * decay, least)] * (steps - 1)
    return [*earlier, min(1 / steps + epoch * (steps - 1) * decay, 1 - (steps - 1) * least)]


@pytest.mark.parametrize("epoch", [0, 1, 5, 9, 10])
def test_the_weights_of_the_steps_losses_are_the_authors(epoch):
    weights = step_loss_weights(epoch / 10, 5, "float64").numpy()
    np.testing.assert_allclose(weights, author_weights(epoch, 10, 5), rtol=1e-12)
    assert weights.sum() == pytest.approx(1)


def descend(weights, rates, examples, steps):
    """Weights after 0, ..., n steps with rates [n'] of each weight, the last one serving on."""
    path = [weights]
    for step in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(path[-1])
            loss = squared_error(path[-1], examples)
        moves = zip(path[-1], rates, tape.gradient(loss, path[-1]), strict=True)
        path.append([w - r[min(step, r.shape[0] - 1)] * g for w, r, g in moves])
    return path


@pytest.mark.usefixtures("without_traces")
def test_weighted_losses_and_learned_rates_have_the_gradient_of_a_few_line_reference(problem):
    learner = plus_plus(problem, multi_step_loss_steps=10)
    rng = np.random.default_rng(0)
    for rate in learner.rate_variables:
        rate.assign(rng.uniform(0.1, 0.4, size=rate.shape))
    learner.meta_step.assign(4)
    weights = values(learner.network.trainable_variables)
    rates = values(learner.rate_variables)
    expected = []
    for index in range(3):
        task = problem.task(index)
        with tf.GradientTape() as tape:
            tape.watch([weights, rates])
            path = descend(weights, rates, task.support, 3)
            shares = author_weights(4, 10, 3)
            losses = [squared_error(at, task.query) for at in path[1:]]
            loss = sum(share * each for share, each in zip(shares, losses, strict=True))
        expected.append([g.numpy() for g in tape.gradient(loss, [*weights, *rates])])
    assert relative_error(learner.meta_gradient(*problem.batch)[0], means(expected)) < 1e-12


def test_steps_beyond_the_trained_ones_go_on_with_the_last_ones_rates(problem):
    learner = plus_plus(problem, steps=2)
    for rate in learner.rate_variables:
        rate.assign([0.05, 0.2])
    weights = values(learner.network.trainable_variables)
    rates = values(learner.rate_variables)
    expected = descend(weights, rates, problem.task(1).support, 5)[-1]
    adapted = learner.task_weights(problem.support_x, problem.support_y, inner_steps=5)
    assert relative_error([weight[1] for weight in adapted], expected) < 1e-12


@pytest.mark.parametrize(
    "parallel", [pytest.param("vectorized", marks=pytest.mark.slow), "sequential"]
)
def test_phases_follow_the_meta_step(problem, parallel):
    options = {"parallel": parallel, "learn_rates": False}
    learner = plus_plus(problem, first_order_steps=2, multi_step_loss_steps=4, **options)
    second = plus_plus(problem, multi_step_loss_steps=4, **options)
    last = plus_plus(problem, **OFF)
    gradients = {}
    for step in (1, 2, 4):
        for each in (learner, second):
            each.meta_step.assign(step)
        gradients[step] = learner.meta_gradient(*problem.batch)[0]
        error = relative_error(gradients[step], second.meta_gradient(*problem.batch)[0])
        assert (error > 1e-3) if step < 2 else (error < 1e-12)
    assert relative_error(gradients[4], last.meta_gradient(*problem.batch)[0]) < 1e-12
    assert relative_error(gradients[2], gradients[4]) > 1e-3


@pytest.mark.usefixtures("without_traces")
def test_a_first_order_phase_has_the_gradients_at_the_adapted_weights(problem):
    learner = plus_plus(problem, first_order_steps=1, **OFF)
    maml = compiled(tfmeta.MAML(problem.network(), 0.3, 3, first_order=True))
    first = [each.meta_gradient(*problem.batch)[0] for each in (learner, maml)]
    assert relative_error(*first) < 1e-12


def test_a_meta_step_is_counted_once_a_batch(problem):
    learner = plus_plus(problem, steps=1)
    for _ in range(3):
        learner.train_on_batch(*problem.batch)
    assert int(learner.meta_step) == 3


def test_vectorised_tasks_agree_with_tasks_one_after_another(problem):
    """The latter without a trace."""
    options = {"multi_step_loss_steps": 10, "normalization": "running", "per_step_statistics": True}
    parameters, states = [], []
    for parallel in ("vectorized", "sequential"):
        network = normalised_network()
        learner = plus_plus(problem, steps=2, network=network, parallel=parallel, **options)
        before = values(learner.parameter_variables)
        with contextlib.nullcontext() if parallel == "vectorized" else eagerly():
            learner.train_on_batch(*problem.batch)
        after = values(learner.parameter_variables)
        parameters.append([b - a for a, b in zip(after, before, strict=True)])
        states.append(values(learner.state_variables))
    assert relative_error(*parameters) < 1e-12
    assert relative_error(*states) < 1e-12


def by_hand(weights, mean, variance, examples):
    """The normalised network's squared error, with given statistics (None: the batch's own)."""
    kernel, bias, gamma, beta, head, head_bias = weights
    hidden = examples.inputs @ kernel + bias
    if mean is None:
        mean, variance = tf.nn.moments(hidden, axes=[0])
    hidden = gamma * (hidden - mean) / tf.sqrt(variance + 1e-3) + beta
    outputs = tf.tanh(hidden) @ head + head_bias
    return tf.reduce_mean(tf.square(outputs - examples.targets)), mean, variance


def test_scale_centre_and_statistics_of_each_step_are_those_of_a_hand_written_loop(problem):
    options = {"normalization": "running", "per_step_statistics": True, **OFF}
    learner = plus_plus(
        problem, steps=2, network=normalised_network(), **{**options, "per_step_weights": True}
    )
    rng = np.random.default_rng(3)
    for variable in (*learner.weight_rows, *learner.average_rows):
        variable.assign(variable.numpy() + rng.uniform(0.1, 0.5, size=variable.shape))
    weights = values(learner.network.trainable_variables)
    gammas, betas = (
        [row[0], last] for row, last in zip(learner.weight_rows, weights[2:4], strict=True)
    )
    averages = values(learner.network.non_trainable_variables)
    means_, variances = ([row[0], a] for row, a in zip(learner.average_rows, averages, strict=True))
    expected = {"loss": [], "first": [], "last": []}
    for index in range(3):
        task, current = problem.task(index), list(weights)
        for step in (0, 1):
            current[2:4] = [tf.convert_to_tensor(gammas[step]), tf.convert_to_tensor(betas[step])]
            if step == 0:
                expected["first"].append(by_hand(current, None, None, task.support)[1:])
            moving = [0, 1, 4, 5]  # scale and centre do not adapt
            with tf.GradientTape() as tape:
                tape.watch(current)
                loss = by_hand(current, means_[step], variances[step], task.support)[0]
            for position, slope in zip(
                moving, tape.gradient(loss, [current[i] for i in moving]), strict=True
            ):
                current[position] = current[position] - 0.3 * slope
        expected["loss"].append(by_hand(current, means_[1], variances[1], task.query)[0])
        expected["last"].append(by_hand(current, None, None, task.query)[1:])
    traced = tf.function(learner.compute_meta_gradient, autograph=False)
    gradients, state, logs = traced(tf.nest.map_structure(tf.constant, problem.batch))
    assert float(logs["loss"]) == pytest.approx(np.mean(expected["loss"]), rel=1e-12)
    assert [np.abs(g).max() > 0 for g in gradients] == [True] * len(gradients)
    before_first = [row[0] for row in values(learner.average_rows)]
    for actual, before, found in (
        ([row[0] for row in state[2:4]], before_first, means(expected["first"])),
        (state[:2], averages, means(expected["last"])),
    ):
        moved = [0.8 * old + 0.2 * new for old, new in zip(before, found, strict=True)]
        assert relative_error(actual, moved) < 1e-12


def test_statistics_of_each_step_without_moving_averages_are_refused(problem):
    with pytest.raises(ValueError, match=r"normalization='running' only.*'transductive'"):
        plus_plus(problem, network=normalised_network(), per_step_statistics=True)


def test_a_learner_without_an_inner_step_is_refused(problem):
    with pytest.raises(ValueError, match="an inner step or more"):
        plus_plus(problem, steps=0)
