"""State of layers' own moves once a meta-step, as in Keras, whatever the normalisation."""

import contextlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tfmeta
from tests.conformance import registry
from tests.keras_contract.eagerly import eagerly
from tests.keras_contract.networks import MODES, around, fitted
from tests.marks import marked
from tfmeta.learners.embedding.training import EpisodicGradient

STEPS = 2
TRACED = {
    ("maml", "inductive"),
    ("imaml", "transductive"),
    ("platipus", "running"),
    ("prototypical_network", "running"),
    ("fine_tuning", "inductive"),
}


class Track(layers.Layer):
    """Counts calls and examples, and averages what passes."""

    def build(self, shape):
        options = {"shape": (), "initializer": "zeros", "trainable": False}
        self.calls = self.add_weight(dtype="int32", name="calls", **options)
        self.examples = self.add_weight(dtype="int64", name="examples", **options)
        self.average = self.add_weight(dtype="float64", name="average", **options)

    def call(self, x, training=None):
        if training:
            self.calls.assign_add(1)
            self.examples.assign_add(ops.cast(ops.shape(x)[0], "int64"))
            self.average.assign(0.9 * self.average + 0.1 * ops.mean(x))
        return x


class Variable(layers.Layer):
    """Counts by TensorFlow's own operations."""

    def build(self, shape):
        self.count = tf.Variable(0)

    def call(self, x):
        self.count.assign_add(1)
        return x


class Metered(layers.Layer):
    """Keeps its state in a metric."""

    def __init__(self, **options):
        super().__init__(**options)
        self.meter = keras.metrics.Mean(name="level")

    def call(self, x, training=False):
        if training:
            self.meter.update_state(ops.mean(x))
        return x


def tracked(network):
    return {v.name: v.numpy() for v in network.non_trainable_variables}


def first_track():
    """A network that starts with the layer, so that its state does not depend on the weights."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((registry.INPUTS,), dtype="float64"),
            Track(dtype="float64"),
            layers.Dense(4, activation="tanh", dtype="float64"),
            layers.Dense(registry.OUTPUTS, dtype="float64", name="head"),
        ]
    )


NAMES = registry.some(warp=None)
PAIRS = [(name, mode) for name in NAMES for mode in MODES]
# Every learner in a mode, in turn, and MAML in each.
SOME = [
    (name, mode)
    for i, name in enumerate(NAMES)
    for j, mode in enumerate(MODES)
    if name == "maml" or i % len(MODES) == j or (name, mode) in TRACED
]


@pytest.mark.parametrize(("name", "mode"), marked(PAIRS, [("maml", "inductive")], SOME))
def test_state_moves_as_keras_moves_it_on_the_queries_of_a_task(name, mode):
    entry = registry.LEARNERS[name]
    network = first_track()
    traced = contextlib.nullcontext if (name, mode) in TRACED else eagerly
    with traced():
        learner, (x, _) = fitted(entry, network, steps=STEPS, tasks=2, normalization=mode)
    # Training of prototypical and matching networks embeds both sets in one call.
    episodic = isinstance(learner.gradient_rule, EpisodicGradient)
    sets = np.concatenate([x[0], x[2]], axis=1) if episodic else x[2]
    stock = first_track()
    averages = []
    for task in sets:
        for variable in stock.non_trainable_variables:
            variable.assign(np.zeros(()))
        for _ in range(STEPS):
            stock(task, training=True)
        averages.append(tracked(stock))
    found = tracked(network)
    if name == "carrying_reptile":  # Its tasks run one after another, and so does their state.
        assert found["calls"] == STEPS * len(sets)
        return
    assert found["calls"] == STEPS
    assert found["examples"] == STEPS * sets.shape[1]
    np.testing.assert_allclose(
        found["average"], np.mean([each["average"] for each in averages]), rtol=1e-12
    )


@pytest.mark.skipif(
    "renorm" not in inspect.signature(layers.BatchNormalization).parameters,
    reason="this Keras has no batch renormalisation",
)
@pytest.mark.parametrize("mode", marked(MODES, ["transductive"]))
def test_a_renormalised_batch_moves_its_averages(mode):
    network = around(layers.BatchNormalization(renorm=True, dtype="float64"))
    before = tracked(network)
    learner = tfmeta.MAML(network, 0.1, 1, first_order=True, normalization=mode)
    learner.compile("sgd", "mse")
    learner.train_on_batch(*registry.batch())
    moved = {name for name, value in tracked(network).items() if np.any(value != before[name])}
    assert moved == set(before)


def test_averages_of_batch_normalisation_stay_where_nothing_reads_them():
    network = around(layers.BatchNormalization(dtype="float64"))
    before = tracked(network)
    fitted(registry.LEARNERS["maml"], network, normalization="transductive")
    for name, value in tracked(network).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Variable, r"'variable.*' \(Variable\) assigns a variable by TensorFlow's own"),
        (Metered, r"assigns '.*level.*', which is not among its weights"),
        (
            lambda **o: layers.SpectralNormalization(layers.Dense(4, **o), **o),
            r"'spectral.*' .*assigns its own trainable weight 'kernel'",
        ),
    ],
)
def test_state_that_cannot_move_is_refused_by_name(layer, said):
    with pytest.raises(ValueError, match=said):
        tfmeta.MAML(around(layer(dtype="float64")))


def test_a_recurrent_layer_that_keeps_its_state_is_refused():
    inputs = keras.Input(batch_shape=(2, 3, 1))
    kept = layers.GRU(2, stateful=True, name="kept")(inputs)
    with pytest.raises(ValueError, match=r"'kept' \(GRU\) keeps its state .* stateful=False\.$"):
        tfmeta.MAML(keras.Model(inputs, layers.Dense(1)(kept)))
