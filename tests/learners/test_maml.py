"""MAML and its first-order form against few-line references."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import (
    compiled,
    descend,
    relative_error,
    squared_error,
    values,
)
from tfmeta.learners.keras_model.meta_steps import values as learner_values


def reference_gradient(problem, weights, rate, steps, index):
    task = problem.task(index)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = squared_error(descend(weights, task.support, rate, steps), task.query)
    return tape.gradient(loss, weights)


def mean_over_tasks(gradients):
    return [np.mean([g.numpy() for g in parts], axis=0) for parts in zip(*gradients, strict=True)]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_meta_gradient_is_that_of_a_few_line_reference(problem, steps):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.3, inner_steps=steps))
    weights = values(learner.network.trainable_variables)
    expected = [reference_gradient(problem, weights, 0.3, steps, i) for i in range(3)]
    gradients, outputs = learner.meta_gradient(*problem.batch)
    assert outputs.shape == (3, 5, 2)
    assert relative_error(gradients, mean_over_tasks(expected)) < 1e-12


def test_meta_gradient_agrees_with_finite_differences(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.3, inner_steps=3))
    gradients, _ = learner.meta_gradient(*problem.batch)
    weights = [w.numpy() for w in values(learner.network.trainable_variables)]
    rng = np.random.default_rng(0)
    direction = [rng.normal(size=w.shape) for w in weights]

    def loss(shift):
        moved = [tf.constant(w + shift * d) for w, d in zip(weights, direction, strict=True)]
        adapted = [descend(moved, problem.task(i).support, 0.3, 3) for i in range(3)]
        return np.mean([squared_error(a, problem.task(i).query) for i, a in enumerate(adapted)])

    slope = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    for h in (1e-5, 1e-6):
        assert abs((loss(h) - loss(-h)) / (2 * h) - slope) < 1e-8 * abs(slope)


def test_first_order_gradient_is_the_query_gradient_at_adapted_weights(problem):
    options = {"inner_rate": 0.3, "inner_steps": 2}
    second = compiled(tfmeta.MAML(problem.network(), **options))
    first = compiled(tfmeta.MAML(problem.network(), first_order=True, **options))
    weights = values(first.network.trainable_variables)
    expected = []
    for index in range(3):
        task = problem.task(index)
        adapted = [tf.stop_gradient(w) for w in descend(weights, task.support, 0.3, 2)]
        with tf.GradientTape() as tape:
            tape.watch(adapted)
            loss = squared_error(adapted, task.query)
        expected.append(tape.gradient(loss, adapted))
    gradients, _ = first.meta_gradient(*problem.batch)
    assert relative_error(gradients, mean_over_tasks(expected)) < 1e-12
    assert relative_error(second.meta_gradient(*problem.batch)[0], gradients) > 0.1


def test_rates_by_pattern_move_each_weight_by_its_own(problem):
    learner = compiled(
        tfmeta.MAML(problem.network(), inner_rate={"head/*": 0.0, "*": 0.2}, inner_steps=1)
    )
    before = values(learner.network.trainable_variables)
    after = learner.task_weights(problem.support_x, problem.support_y)
    assert np.ptp(after[2] - before[2]) == 0
    assert np.abs(after[0] - before[0]).min() > 0


def test_anil_adapts_only_the_head_and_trains_all(problem):
    learner = compiled(
        tfmeta.MAML(problem.network(), inner_rate=0.3, inner_steps=2, adapted="head/*")
    )
    before = values(learner.network.trainable_variables)
    after = learner.task_weights(problem.support_x, problem.support_y)
    assert all(np.array_equal(after[i], np.broadcast_to(before[i], after[i].shape)) for i in (0, 1))
    assert all(np.abs(after[i] - before[i]).max() > 0 for i in (2, 3))
    gradients, _ = learner.meta_gradient(*problem.batch)
    assert all(np.abs(g).max() > 0 for g in gradients)


def test_a_step_by_momentum_goes_beyond_one_of_plain_descent(problem):
    def moved(optimizer):
        learner = compiled(
            tfmeta.MAML(problem.network(), inner_rate=0.1, inner_steps=2, inner_optimizer=optimizer)
        )
        before = values(learner.network.trainable_variables)
        after = learner.task_weights(problem.support_x, problem.support_y)
        return np.linalg.norm(after[0] - before[0])

    assert moved("momentum") > 1.2 * moved("sgd")


def test_clipping_bounds_each_entry_of_the_applied_gradient(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.3, meta_gradient_clip=1e-3))
    before = [w.numpy() for w in values(learner.network.trainable_variables)]
    learner.train_on_batch(*problem.batch)
    after = [w.numpy() for w in values(learner.network.trainable_variables)]
    largest = max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))
    assert largest == pytest.approx(1e-3, rel=1e-6)


def test_a_gradient_that_is_not_finite_is_not_applied_though_the_loss_is(problem, monkeypatch):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.3))
    compute = learner.task_gradient

    def spoiled(parameters, task, *arguments):
        result = compute(parameters, task, *arguments)
        last = task.query.inputs[0, 0] == problem.query_x[-1, 0, 0]
        first, *others = result.gradient
        return result._replace(gradient=[tf.where(last, first / 0.0, first), *others])

    monkeypatch.setattr(learner, "task_gradient", spoiled)
    before = [w.numpy() for w in values(learner.network.trainable_variables)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"gradient is not finite.*batch: 2"):
        learner.train_on_batch(*problem.batch)
    for start, variable in zip(before, learner.network.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable, start)


@pytest.mark.parametrize(
    "form", [{"rematerialize": True}, {"rematerialize": True, "adapted": "head/*"}]
)
@pytest.mark.parametrize("parallel", ["vectorized", "sequential"])
def test_rematerialized_steps_give_the_same_gradient(problem, form, parallel):
    options = {"inner_rate": 0.3, "inner_steps": 3, "adapted": form.get("adapted")}
    plain = compiled(tfmeta.MAML(problem.network(), **options))
    other = compiled(tfmeta.MAML(problem.network(), parallel=parallel, **{**options, **form}))
    expected, _ = plain.meta_gradient(*problem.batch)
    assert relative_error(other.meta_gradient(*problem.batch)[0], expected) < 1e-12


@pytest.mark.parametrize("form", [{"tasks_per_pass": 1}, {"parallel": "sequential"}])
def test_other_forms_of_the_same_computation_agree(problem, form):
    options = {"inner_rate": 0.3, "inner_steps": 3}
    plain = compiled(tfmeta.MAML(problem.network(), **options))
    other = compiled(tfmeta.MAML(problem.network(), **options, **form))
    expected, _ = plain.meta_gradient(*problem.batch)
    assert relative_error(other.meta_gradient(*problem.batch)[0], expected) < 1e-12


def test_a_while_loop_of_inner_steps_equals_unrolled_ones(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.1))
    parameters, state = learner_values(learner)
    support = problem.task(0).support
    key = tf.constant([0, 0])
    unrolled = learner.adapt_weights(parameters, support, 4, state, key)
    looped = learner.adapt_weights(parameters, support, tf.constant(4), state, key)
    assert relative_error(looped.weights, unrolled.weights) < 1e-14
    assert relative_error([looped.support_losses], [unrolled.support_losses]) < 1e-14


def test_derivatives_flow_through_a_while_loop_of_inner_steps(problem):
    learner = compiled(tfmeta.MAML(problem.network(), inner_rate=0.05))
    parameters, state = learner_values(learner)
    task = problem.task(0)

    @tf.function(autograph=False)
    def gradient(steps):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            key = tf.constant([0, 0])
            adapted = learner.adapt_weights(parameters, task.support, steps, state, key)
            loss = squared_error(adapted.weights, task.query)
        return tape.gradient(loss, parameters)

    expected = reference_gradient(problem, parameters, 0.05, 12, 0)
    assert relative_error(gradient(tf.constant(12)), expected) < 1e-11


def test_more_inner_steps_than_are_unrolled_elsewhere_train_vectorised(problem):
    learner = compiled(
        tfmeta.MAML(problem.network(), inner_rate=0.05, inner_steps=12, parallel="vectorized")
    )
    weights = values(learner.network.trainable_variables)
    expected = [reference_gradient(problem, weights, 0.05, 12, i) for i in range(3)]
    gradients, _ = learner.meta_gradient(*problem.batch)
    assert relative_error(gradients, mean_over_tasks(expected)) < 1e-11
