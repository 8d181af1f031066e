"""Combinations of inner gradients: their definition, and the algorithms among them."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from benchmarks import reptile_terms
from tests.learners.conftest import compiled, relative_error, squared_error, values
from tfmeta.learners.reptile import minibatch_rows
from tfmeta.tasks.task import Examples

RATE, SIZE = 0.1, 2


def combination(problem, coefficients, **options):
    options = {"batch_size": SIZE, **options}
    return compiled(tfmeta.GradientCombination(problem.network(), RATE, coefficients, **options))


def inner_gradients(problem, learner, index, steps):
    """g_1, ..., g_k of a task, by plain descent on the minibatches of its key."""
    weights = values(learner.network.trainable_variables)
    support = problem.task(index).support
    key = learner.task_keys(0, 3)[index]
    gradients = []
    for step in range(steps):
        rows = minibatch_rows(step, SIZE, 6, key)
        examples = Examples(tf.gather(support.inputs, rows), tf.gather(support.targets, rows))
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = squared_error(weights, examples)
        gradients.append(tape.gradient(loss, weights))
        weights = [w - RATE * g for w, g in zip(weights, gradients[-1], strict=True)]
    return gradients


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize(
    "coefficients",
    [
        (0, 1),
        (2, -1, 0.5),
        *(pytest.param(c, marks=pytest.mark.slow) for c in ((0, 0, 1), (1, 1, 1))),
    ],
)
def test_the_gradient_is_the_combination_of_inner_moves(problem, coefficients):
    learner = combination(problem, coefficients)
    expected = []
    for index in range(3):
        gradients = inner_gradients(problem, learner, index, len(coefficients))
        expected.append(
            [
                RATE * sum(c * g for c, g in zip(coefficients, parts, strict=True))
                for parts in zip(*gradients, strict=True)
            ]
        )
    means = [np.mean(parts, axis=0) for parts in zip(*expected, strict=True)]
    assert relative_error(learner.meta_gradient(*problem.batch)[0], means) < 1e-12


def test_the_minibatches_of_a_task_are_disjoint_while_it_has_examples(problem):
    key = combination(problem, (1, 1, 1)).task_keys(0, 3)[2]
    rows = [row for step in range(3) for row in minibatch_rows(step, SIZE, 6, key).numpy()]
    assert sorted(rows) == list(range(6))


@pytest.mark.usefixtures("without_traces")
def test_factors_of_one_are_reptile(problem):
    learner = combination(problem, (1, 1, 1))
    reptile = compiled(
        tfmeta.Reptile(problem.network(), RATE, 3, inner_optimizer="sgd", batch_size=SIZE)
    )
    gradients = [each.meta_gradient(*problem.batch)[0] for each in (learner, reptile)]
    assert relative_error(*gradients) < 1e-12


@pytest.mark.parametrize(
    "build",
    [
        lambda network: tfmeta.Reptile(network, RATE, 1, inner_optimizer="sgd"),
        lambda network: tfmeta.GradientCombination(network, RATE, (1,)),
    ],
)
def test_a_run_of_one_inner_step_is_joint_training(problem, build):
    learner = compiled(build(problem.network()))
    weights = values(learner.network.trainable_variables)
    for _ in range(5):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            # All tasks' examples as one set: tasks are equally large.
            loss = tf.reduce_mean(
                [squared_error(weights, problem.task(i).support) for i in (0, 1, 2)]
            )
        slopes = tape.gradient(loss, weights)
        weights = [w - RATE * g for w, g in zip(weights, slopes, strict=True)]
        learner.train_on_batch(*problem.batch)
    assert relative_error(values(learner.network.trainable_variables), weights) < 1e-12


def test_factors_that_are_all_zero_are_refused(problem):
    with pytest.raises(ValueError, match=r"coefficients must hold.*\(0, 0\).*\(0, 1\)"):
        combination(problem, (0, 0))


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("name", reptile_terms.TERMS)
def test_two_terms_of_the_papers_expansion_leave_the_square_of_the_rate(name):
    rows = [reptile_terms.row(name, 3, rate) for rate in (0.004, 0.002)]
    assert reptile_terms.order(rows) == pytest.approx(2, abs=0.02)
    assert rows[-1]["c_measured"] == pytest.approx(rows[-1]["c"], rel=0.02)


@pytest.mark.usefixtures("without_traces")
def test_another_coefficient_leaves_a_term_that_falls_with_the_rate_alone(monkeypatch):
    wrong = {"Reptile": (lambda k: k, lambda k: k * (k - 1))}
    monkeypatch.setattr(reptile_terms, "TERMS", wrong)
    rows = [reptile_terms.row("Reptile", 3, rate) for rate in (0.004, 0.002)]
    assert reptile_terms.order(rows) == pytest.approx(1, abs=0.02)
