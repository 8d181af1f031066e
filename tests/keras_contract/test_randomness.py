"""What a task draws depends on the seed, on the purpose and on its index, not on its batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.conformance import registry
from tests.keras_contract.reference_steps import largest_difference, stream, values
from tfmeta.evaluation import evaluate_learner
from tfmeta.learners.batch.task_keys import (
    ANSWER,
    EVALUATION,
    TRAINING,
    answer_keys,
    initial_seed,
    task_keys,
)

RATE = 2.0**-10  # at which every learner stays finite
DRAWING = registry.some(quick=("mt_net",), slow=("reptile", "platipus"), random=True)


def keys_of(*arguments):
    return {tuple(key) for key in task_keys(*arguments).numpy().tolist()}


def test_keys_of_seeds_purposes_and_indices_are_all_different():
    seeds = [0, 1, -1, 2**31, 2**31 - 1, 2**32, 2**32 + 1, 2**64, 2**64 + 1, 10**40, 7919]
    sets = [
        keys_of(seed, purpose, first, 50)
        for seed in seeds
        for purpose in (TRAINING, EVALUATION, ANSWER)
        for first in (0, 7919, 2**31 - 10, 2**32 - 10, 2**40)
    ]
    assert len(set().union(*sets)) == 50 * len(sets)
    # A step of 2^31 tasks in another's seed: no arithmetic of the two meets.
    assert not keys_of(1, TRAINING, 0, 50) & keys_of(0, TRAINING, 7919 * 2**31, 50)
    assert initial_seed(2**64, "rate", "a") != initial_seed(2**64 + 1, "rate", "a")
    for wrong in (1.5, "0", None):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            registry.LEARNERS["maml"].compiled(seed=wrong)


def test_the_key_of_a_task_is_its_own_wherever_a_batch_begins():
    whole = task_keys(3, TRAINING, 0, 10).numpy()
    parts = [task_keys(3, TRAINING, first, 5).numpy() for first in (0, 5)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    traced = tf.function(lambda first, count: task_keys(3, TRAINING, first, count))
    np.testing.assert_array_equal(traced(tf.constant(4), tf.constant(3)), whole[4:7])
    np.testing.assert_array_equal(answer_keys(3, 4), np.repeat(answer_keys(3, 1), 4, axis=0))


def test_learned_rates_of_two_seeds_start_apart():
    rates = [
        registry.LEARNERS["meta_sgd"].compiled(seed=seed).rate_variables
        for seed in (0, 1, 2**40, 2**40 + 1)
    ]
    first = {tuple(np.ravel(rate)) for each in rates for rate in each}
    assert len(first) == sum(len(each) for each in rates)


@pytest.mark.parametrize("name", DRAWING)
def test_an_evaluation_gives_the_same_numbers_whatever_the_tasks_of_a_batch(name):
    entry = registry.LEARNERS[name]
    learner = entry.compiled()
    x, y = entry.batch(tasks=7)
    tasks = tf.data.Dataset.from_tensor_slices((x, y))
    losses, curves = [], []
    for size in (7, 3, 1):
        losses += [learner.evaluate(tasks.batch(size), verbose=0) for _ in range(2)]
        found = evaluate_learner(learner, tasks, 7, tasks_per_batch=size)
        curves.append([summary["mean"] for summary in found["transductive"].values()])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    np.testing.assert_allclose(curves, [curves[0]] * 3, rtol=1e-12)
    # Of tasks that are alike, each has draws of its own.
    same = tf.nest.map_structure(lambda array: np.repeat(array[:1], 7, axis=0), (x, y))
    outputs, _ = learner.adaptation_curve(same[0])
    # LLAMA's curve shows the mode of each step; it draws around the last one only.
    if entry.cls is not tfmeta.LLAMA:
        assert np.ptp(outputs.numpy()[:, -1], axis=0).max() > 1e-6


@pytest.mark.parametrize("name", DRAWING)
def test_an_answer_does_not_depend_on_its_neighbours(name):
    entry = registry.LEARNERS[name]
    learner = entry.compiled()
    # Keras gives `predict` arrays in float32.
    (sx, sy, qx), _ = tf.nest.map_structure(np.float32, entry.batch(tasks=3))
    together = learner.predict((sx, sy, qx), verbose=0)
    alone = [
        learner.predict((sx[i : i + 1], sy[i : i + 1], qx[i : i + 1]), verbose=0) for i in range(3)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-10)
    adapted = learner.adapt(sx[2], sy[2]).predict(qx[2], verbose=0)
    np.testing.assert_allclose(adapted, together[2], rtol=1e-10)
    reversed_tasks = learner.predict((sx[::-1], sy[::-1], qx[::-1]), verbose=0)
    np.testing.assert_allclose(reversed_tasks[::-1], together, rtol=1e-10)


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize("name", DRAWING)
def test_fit_counts_tasks_over_short_batches_accumulation_and_resumption(name, tmp_path):
    entry = registry.LEARNERS[name]
    (sx, sy, qx), qy = entry.batch(tasks=5)

    def made():
        # Rates of 0 show what is drawn alone; accumulation holds `iterations` back.
        return keras.optimizers.SGD(RATE, gradient_accumulation_steps=3)

    parts = [slice(0, 2), slice(2, 4), slice(4, 5)]
    batches = stream([((sx[part], sy[part], qx[part]), qy[part]) for part in parts])
    whole = entry.compiled(optimizer=made())
    whole.fit(batches, epochs=3, verbose=0)
    assert int(whole.trained_tasks.numpy()) == 15
    # The same tasks one by one, with the indices that they should have.
    learner = entry.compiled(optimizer=keras.optimizers.SGD(0.0))
    gradient = tf.function(
        lambda data, index: learner.compute_meta_gradient(data, index)[0],
        autograph=False,
        reduce_retracing=True,
    )
    for epoch in range(3):
        means = []
        for part in parts:
            data = tf.nest.map_structure(tf.constant, ((sx[part], sy[part], qx[part]), qy[part]))
            means.append(gradient(data, tf.constant(5 * epoch + part.start, tf.int64)))
        for variable, *found in zip(learner.parameter_variables, *means, strict=True):
            variable.assign_sub(RATE * tf.add_n(found) / 3)
    ours, theirs = (values(each.parameter_variables) for each in (whole, learner))
    assert largest_difference(ours, theirs) < 1e-12
    # Saved after an epoch and loaded, it goes on with the next tasks' draws.
    first = entry.compiled(optimizer=made())
    first.fit(batches, verbose=0)
    first.save(tmp_path / "learner.keras")
    resumed = keras.saving.load_model(tmp_path / "learner.keras")
    resumed.fit(batches, epochs=2, verbose=0)
    assert largest_difference(values(resumed.parameter_variables), ours) == 0.0


def test_files_without_a_number_of_tasks_begin_at_0(tmp_path):
    learner = registry.LEARNERS["meta_sgd"].compiled()
    learner.trained_tasks.assign(9)
    store = {}
    learner.save_own_variables(store)
    assert store.pop("trained_tasks") == 9
    learner.load_own_variables(store)
    assert int(learner.trained_tasks.numpy()) == 0
    assert tfmeta.MetaSGD is type(learner)
