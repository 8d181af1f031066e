"""Reptile against its definition, with independently computed inner optimisers."""

import keras
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
from tfmeta.learners.reptile import minibatch_rows


def adam(weights, examples, rate, steps, second=None, count=0):
    """Adam with beta_1 = 0 in numpy, from the paper's algorithm 1."""
    second = [np.zeros(w.shape) for w in weights] if second is None else second
    for _ in range(steps):
        count += 1
        with tf.GradientTape() as tape:
            tensors = [tf.constant(w) for w in weights]
            tape.watch(tensors)
            loss = squared_error(tensors, examples)
        gradients = [g.numpy() for g in tape.gradient(loss, tensors)]
        second = [0.999 * s + 0.001 * g**2 for s, g in zip(second, gradients, strict=True)]
        corrected = [s / (1 - 0.999**count) for s in second]
        weights = [
            w - rate * g / (np.sqrt(c) + 1e-8)
            for w, g, c in zip(weights, gradients, corrected, strict=True)
        ]
    return weights, second, count


def test_gradient_is_weights_minus_those_of_plain_descent(problem):
    learner = compiled(
        tfmeta.Reptile(problem.network(), inner_rate=0.2, inner_steps=3, inner_optimizer="sgd")
    )
    weights = values(learner.network.trainable_variables)
    adapted = [descend(weights, problem.task(i).support, 0.2, 3) for i in range(3)]
    expected = [np.mean([w - a[j] for a in adapted], axis=0) for j, w in enumerate(weights)]
    assert relative_error(learner.meta_gradient(*problem.batch)[0], expected) < 1e-12


def test_gradient_is_weights_minus_those_of_adam(problem):
    learner = compiled(tfmeta.Reptile(problem.network(), inner_rate=0.01, inner_steps=4))
    weights = [w.numpy() for w in values(learner.network.trainable_variables)]
    adapted = [adam(weights, problem.task(i).support, 0.01, 4)[0] for i in range(3)]
    expected = [np.mean([w - a[j] for a in adapted], axis=0) for j, w in enumerate(weights)]
    assert relative_error(learner.meta_gradient(*problem.batch)[0], expected) < 1e-6


def test_carried_moments_go_from_task_to_task_and_from_step_to_step(problem):
    learner = compiled(
        tfmeta.Reptile(problem.network(), inner_rate=0.01, inner_steps=2, carry_moments=True)
    )
    weights = [w.numpy() for w in values(learner.network.trainable_variables)]
    second, count = None, 0
    for _ in range(2):
        adapted = []
        for index in range(3):
            task_weights, second, count = adam(
                weights, problem.task(index).support, 0.01, 2, second, count
            )
            adapted.append(task_weights)
        weights = [np.mean([a[j] for a in adapted], axis=0) for j in range(len(weights))]
        learner.train_on_batch(*problem.batch)
    assert relative_error(values(learner.network.trainable_variables), weights) < 1e-6
    assert int(learner.slot_variables[0]) == count
    assert relative_error(values(learner.slot_variables[1:]), second) < 1e-6


def test_sgd_of_rate_epsilon_outside_is_the_papers_interpolation(problem):
    learner = tfmeta.Reptile(
        problem.network(), inner_rate=0.2, inner_steps=3, inner_optimizer="sgd"
    )
    learner.compile(optimizer=keras.optimizers.SGD(0.25), loss="mse")
    before = values(learner.network.trainable_variables)
    adapted = [descend(before, problem.task(i).support, 0.2, 3) for i in range(3)]
    expected = [
        w + 0.25 * (np.mean([a[j] for a in adapted], axis=0) - w) for j, w in enumerate(before)
    ]
    learner.train_on_batch(*problem.batch)
    assert relative_error(values(learner.network.trainable_variables), expected) < 1e-12


def test_one_inner_step_is_joint_training(problem):
    learner = compiled(
        tfmeta.Reptile(problem.network(), inner_rate=1.0, inner_steps=1, inner_optimizer="sgd")
    )
    weights = values(learner.network.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        losses = [squared_error(weights, problem.task(i).support) for i in range(3)]
        loss = tf.reduce_mean(losses)
    expected = tape.gradient(loss, weights)
    assert relative_error(learner.meta_gradient(*problem.batch)[0], expected) < 1e-12


def test_an_epoch_of_minibatches_draws_every_example_once():
    key = tf.constant([3, 5])
    rows = [minibatch_rows(tf.constant(i), 4, 12, key).numpy() for i in range(6)]
    assert sorted(np.concatenate(rows[:3])) == list(range(12))
    assert sorted(np.concatenate(rows[3:])) == list(range(12))
    assert not np.array_equal(np.concatenate(rows[:3]), np.concatenate(rows[3:]))


def test_a_minibatch_reaches_over_the_end_of_an_epoch():
    key = tf.constant([3, 5])
    rows = np.concatenate([minibatch_rows(tf.constant(i), 4, 6, key).numpy() for i in range(3)])
    assert sorted(rows[:6]) == list(range(6))
    assert sorted(rows[6:]) == list(range(6))


def test_minibatches_depend_on_the_key_and_take_small_sets_whole():
    first, second = (minibatch_rows(tf.constant(0), 4, 12, tf.constant([0, k])) for k in (1, 2))
    assert not np.array_equal(first, second)
    dynamic = tf.function(lambda n: minibatch_rows(tf.constant(0), 4, n, tf.constant([0, 1])))
    assert list(dynamic(tf.constant(3)).numpy()) == [0, 1, 2]
    assert np.array_equal(dynamic(tf.constant(12)), first)


def test_without_queries_fit_reports_the_support_loss_alone(problem):
    learner = compiled(
        tfmeta.Reptile(problem.network(), inner_rate=0.01, inner_steps=2), metrics=["mae"]
    )
    batch = (problem.support_x, problem.support_y, problem.query_x[:, :0]), problem.query_y[:, :0]
    weights = values(learner.network.trainable_variables)
    losses = []
    for i in range(3):
        support = problem.task(i).support
        after, _, _ = adam([w.numpy() for w in weights], support, 0.01, 1)
        losses += [squared_error(weights, support), squared_error(after, support)]
    logs = learner.fit(*tf.nest.map_structure(np.asarray, batch), batch_size=3, verbose=0).history
    assert logs["loss"][0] > 0
    assert "query_loss" not in logs
    assert logs["loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_fit_reports_the_mean_query_loss_of_its_batches(problem):
    def query_loss(batch_size):
        learner = tfmeta.Reptile(problem.network(), inner_rate=0.01, inner_steps=2)
        learner.compile(keras.optimizers.SGD(0.0), "mse")
        logs = learner.fit(*problem.batch, batch_size=batch_size, shuffle=False, verbose=0)
        return logs.history["query_loss"]

    assert query_loss(1) == pytest.approx(query_loss(3), rel=1e-6)


def test_the_minibatch_of_training_and_of_test_differ(problem):
    learner = compiled(
        tfmeta.Reptile(
            problem.network(),
            inner_rate=0.1,
            inner_steps=1,
            inner_optimizer="sgd",
            batch_size=2,
            test_batch_size=6,
        )
    )
    weights = values(learner.network.trainable_variables)
    whole = [descend(weights, problem.task(i).support, 0.1, 1)[0] for i in range(3)]
    in_test = learner.task_weights(problem.support_x, problem.support_y)[0]
    assert relative_error([in_test], [np.stack(whole)]) < 1e-12
    in_training = weights[0] - learner.meta_gradient(*problem.batch)[0][0]
    assert relative_error([in_training], [np.mean(whole, axis=0)]) > 1e-3
