"""The outer optimizer does to every parameter of a learner what stock Keras does."""

import itertools
import operator

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry
from tests.keras_contract.reference_steps import (
    batches,
    largest_difference,
    stock_steps,
    stream,
    values,
)
from tests.marks import marked

SCHEDULE = {"initial_learning_rate": 0.05, "decay_steps": 2, "decay_rate": 0.5}
OPTIMIZERS = {
    # Each step shows in the end, and a parameter in another's place too.
    "all_options": lambda: keras.optimizers.AdamW(
        keras.optimizers.schedules.ExponentialDecay(**SCHEDULE),
        weight_decay=0.1,
        global_clipnorm=0.5,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=3,
    ),
    # A rate at which PLATIPUS, whose likelihood is steep, stays finite.
    "average": lambda: keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, ema_momentum=0.7),
    "accumulation": lambda: keras.optimizers.Adam(
        0.05, gradient_accumulation_steps=2, clipnorm=0.1, use_ema=True
    ),
    "clip_by_value": lambda: keras.optimizers.SGD(0.1, clipvalue=0.01, weight_decay=0.1),
    "scaled_loss": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=64.0, clipnorm=0.1),
}
SLOW = ("maml_plus_plus", "platipus", "bmaml", "fine_tuning")
HALVES = slice(0, 2), slice(2, 4)
# The optimizer divides what it accumulates by this, and so does the reference.
_SCALED = "scaled_loss"


# Learners whose optimizer trains more than the network's weights; those of the others are MAML's.
OF_THEIR_OWN = [name for name, entry in registry.LEARNERS.items() if entry.own_parameters]
# Of other gradients: at every step, displacements, of particles, of one joint head, of a ridge.
ACCUMULATING = ("maml_plus_plus", "gradient_combination", "bmaml", "nearest_neighbor", "r2d2")
# Each kind of optimizer with MAML, and each of these learners with one kind, in turn.
PAIRS = [
    *(("maml", kind) for kind in OPTIMIZERS),
    *zip(OF_THEIR_OWN, itertools.cycle(OPTIMIZERS), strict=False),
]
# Each kind of optimizer once, and parameters beside the weights, in place of them, and of a head.
SOME = [p for p in PAIRS if p[0] in ("maml", "meta_sgd", "bmaml", "fine_tuning", "maml_plus_plus")]


def differing(name, kind, count=4, *, eagerly=False):
    """Largest difference between `fit` and stock Keras after several steps."""
    entry, made = registry.LEARNERS[name], OPTIMIZERS[kind]
    options = {"parallel": "sequential"} if eagerly else {}
    ours = entry.compiled(optimizer=made(), fit={"run_eagerly": eagerly}, **options)
    tasks = batches(entry, count)
    ours.fit(stream(tasks), verbose=0)
    reference = made()
    if kind == _SCALED:
        reference.loss_scale_factor = None
    theirs = stock_steps(entry, reference, tasks, eagerly=eagerly, **options)
    return largest_difference(values(ours.parameter_variables), theirs)


@pytest.mark.parametrize("kind", ["all_options", "accumulation"])
def test_learned_rates_get_the_step_of_stock_keras(kind):
    assert differing("meta_sgd", kind) < 1e-12


@pytest.mark.parametrize(("name", "kind"), marked(PAIRS, [], SOME))
def test_every_learner_gets_the_step_of_stock_keras(name, kind):
    assert differing(name, kind, eagerly=True) < 1e-12


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_keras_sees_the_variables_of_the_optimizer_in_its_order(name):
    learner = registry.LEARNERS[name].compiled(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    expected = [id(variable) for variable in learner.optimizer._trainable_variables]
    assert [id(variable) for variable in learner.trainable_variables] == expected
    assert [id(variable) for variable in learner.trainable_weights] == expected
    assert len(learner.optimizer._model_variables_moving_average) == len(expected)
    # Every other variable is there once, too: state, and what particles stand for.
    others = [id(variable) for variable in learner.non_trainable_variables]
    assert sorted(expected + others) == sorted({id(v) for v in learner.variables})
    reached = set(expected + others)
    assert {id(v) for v in (*learner.state_variables, *learner.network.variables)} <= reached
    weights = [*learner.trainable_weights, *learner.non_trainable_weights]
    assert len({id(v) for v in weights}) == len(weights) == len(learner.weights)
    assert learner.count_params() == sum(int(np.prod(v.shape)) for v in learner.weights)
    learner.summary(print_fn=lambda *_, **__: None)
    learner.trainable = False
    assert learner.trainable_variables == learner.trainable_weights == []


def test_averages_are_swapped_in_for_an_evaluation_and_kept_at_the_end(tmp_path):
    entry = registry.LEARNERS["meta_sgd"]
    optimizer = OPTIMIZERS["average"]()
    learner, tasks = entry.compiled(optimizer=optimizer), batches(entry, 3)
    before = values(learner.parameter_variables)
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            average = values(optimizer._model_variables_moving_average)
            seen.append((values(self.model.parameter_variables), average))

    swap = keras.callbacks.SwapEMAWeights()
    learner.fit(stream(tasks), epochs=2, verbose=0, callbacks=[swap])
    theirs = stock_steps(entry, OPTIMIZERS["average"](), tasks * 2)
    assert largest_difference(values(learner.parameter_variables), theirs) < 1e-12
    plain = values(learner.parameter_variables)
    for average in optimizer._model_variables_moving_average:
        average.assign(average * 2)
    learner.evaluate(stream(tasks[:1]), verbose=0, callbacks=[swap, Seen()])
    # While it evaluates, weights and averages have changed places; then they are back.
    assert largest_difference(seen[0][1], plain) < 1e-12
    assert largest_difference(values(learner.parameter_variables), plain) < 1e-12
    assert largest_difference(before, plain) > 1e-3
    # The optimizer's state is saved with the learner.
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    for ours, kept in zip(learner.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, kept)
    assert int(loaded.trained_tasks.numpy()) == int(learner.trained_tasks.numpy()) == 12


@pytest.mark.parametrize("name", registry.some(quick=("meta_sgd",), slow=SLOW, variant=False))
def test_nothing_moves_at_an_outer_rate_of_0(name):
    entry = registry.LEARNERS[name]
    optimizer = keras.optimizers.Adam(0.0, use_ema=True, ema_momentum=0.9)
    learner = entry.compiled(
        optimizer=optimizer, parallel="sequential", fit={"run_eagerly": name != "meta_sgd"}
    )
    before = values(learner.parameter_variables)
    learner.fit(stream(batches(entry, 2)), verbose=0)
    # An average of equal values is rounded.
    assert largest_difference(values(learner.parameter_variables), before) < 1e-15


# Moments that go on from task to task (carrying_reptile) are others after other batches.
@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize(
    "name", marked(["meta_sgd", *ACCUMULATING], ["meta_sgd"], ["maml_plus_plus", "bmaml"])
)
def test_small_batches_accumulated_are_one_large_batch(name):
    entry = registry.LEARNERS[name]
    whole = entry.batch(tasks=4)
    halves = [tf.nest.map_structure(operator.itemgetter(part), whole) for part in HALVES]
    ends = []
    for parts, steps in (([whole], None), (halves, 2)):
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps, clipvalue=0.05)
        learner = entry.compiled(optimizer=optimizer)
        learner.fit(stream(parts), epochs=2, verbose=0)
        ends.append(values(learner.parameter_variables))
        if name == "maml_plus_plus":
            assert int(learner.meta_step) == int(keras.ops.cast(optimizer.iterations, int)) == 2
    assert largest_difference(*ends) < 1e-12


def test_what_an_optimizer_cannot_do_is_refused_by_the_name_of_the_argument():
    entry = registry.LEARNERS["maml"]
    accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match=r"meta_gradient_clip=0.1 with gradient_accumulation_ste"):
        entry.compiled(optimizer=accumulating, meta_gradient_clip=0.1)
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="LossScaleOptimizer"):
        entry.compiled(optimizer=scaling)


def diverging(name="maml", **options):
    """A learner and a batch of four tasks, of which adapting to the third diverges."""
    entry = registry.LEARNERS[name]
    learner = entry.compiled(optimizer=keras.optimizers.SGD(0.125), **options)
    (sx, sy, qx), qy = entry.batch(tasks=4)
    sy = sy.copy()
    sy[2] = 1e200
    return learner, ((sx, sy, qx), qy)


def test_a_diverged_task_is_named_and_its_step_refused():
    learner, batch = diverging()
    before = values(learner.parameter_variables)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"not finite.*within the batch: 2"):
        learner.fit(stream([batch]), verbose=0)
    assert largest_difference(values(learner.parameter_variables), before) == 0.0


def test_a_diverged_task_is_skipped_where_the_user_says_so():
    learner, batch = diverging(diverged_tasks="skip")
    others = [0, 1, 3]
    rest = tf.nest.map_structure(lambda array: array[others], batch)
    expected, _ = learner.meta_gradient(*rest)
    before = values(learner.parameter_variables)
    logs = learner.fit(stream([batch]), verbose=0).history
    moved = [b - a for b, a in zip(before, values(learner.parameter_variables), strict=True)]
    # Its gradient counts as 0 in the mean over all four.
    wanted = [0.125 * value.numpy() * 3 / 4 for value in expected]
    assert largest_difference(moved, wanted) < 1e-12
    assert logs["diverged"] == [0.25]
    assert np.isfinite(logs["loss"]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        learner.fit(stream([tf.nest.map_structure(lambda a: a[2:3], batch)]), verbose=0)
    (sx, sy, qx), qy = batch
    with pytest.raises(ValueError, match=r"within the batch: 0 1 2 3$"):
        learner.train_on_batch((sx * np.nan, sy, qx), qy)
