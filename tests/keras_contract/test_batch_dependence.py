"""What looks across the batch is found by trying, so that an inductive answer never leaks."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfmeta
from tests.conformance import registry
from tests.keras_contract.networks import around, fitted
from tests.marks import marked


class Ranked(layers.Layer):
    """Looks at the rows before a row only."""

    def call(self, x):
        return ops.cumsum(x, axis=0)


class Counting(layers.Layer):
    """Looks at the number of rows only."""

    def call(self, x):
        return x / ops.cast(ops.shape(x)[0], x.dtype)


def centred(x):
    return x - ops.mean(x, axis=0, keepdims=True)


def made(cls, *arguments, **options):
    return lambda: cls(*arguments, dtype="float64", **options)


DEPENDENT = {
    "activation": made(layers.Activation, centred),
    "activation of a layer": made(layers.Dense, 4, activation=lambda x: ops.softmax(x, axis=0)),
    "softmax": made(layers.Softmax, axis=0),
    "unit norm": made(layers.UnitNormalization, axis=0),
    "function": made(layers.Lambda, lambda x: x * ops.max(x)),
    "rank": made(Ranked),
    "count": made(Counting),
    "operation": lambda: centred,
}
INDEPENDENT = {
    "activation": made(layers.Activation, lambda x: x * ops.sigmoid(x)),
    "layer norm": made(layers.LayerNormalization),
    "unit norm": made(layers.UnitNormalization),
    "function": made(layers.Lambda, lambda x: 2 * x),
    "noise": made(layers.GaussianNoise, 1.0),
    "operation": lambda: lambda x: ops.cumsum(x, axis=1),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_dependence_is_found(name):
    assert tfmeta.inner.PureNetwork(around(DEPENDENT[name]())).depends_on_batch()


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independence_is_found(name):
    assert not tfmeta.inner.PureNetwork(around(INDEPENDENT[name]())).depends_on_batch()


def test_what_cannot_be_decided_counts_as_dependent():
    network = around(layers.Lambda(lambda x: 0 * x, dtype="float64"))
    assert tfmeta.inner.PureNetwork(network).depends_on_batch()


def test_inputs_of_any_kind_are_tried():
    words = keras.Input((), dtype="string", name="words")
    count = keras.Input((None,), dtype="int32", name="count")
    picture = keras.Input((None, None, 1), dtype="uint8", name="picture")
    parts = [
        layers.Embedding(5, 2)(layers.StringLookup(vocabulary=["a", "b", "c"])(words)),
        layers.GlobalAveragePooling1D()(layers.Embedding(2, 2)(count)),
        layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(picture)),
    ]
    outputs = layers.Dense(3)(layers.Concatenate()(parts))
    network = keras.Model({"words": words, "count": count, "picture": picture}, outputs)
    assert not tfmeta.inner.PureNetwork(network).depends_on_batch()


NAMES = registry.some(warp=None)
# MAML with every layer, and every learner with one, in turn: what a layer does and what a learner
# does with its answer do not depend on each other.
PAIRS = [
    (name, layer)
    for i, name in enumerate(NAMES)
    for j, layer in enumerate(DEPENDENT)
    if name == "maml" or i % len(DEPENDENT) == j
]


SOME = [p for p in PAIRS if p[0] in ("maml", "prototypical_network", "bmaml", "maml_plus_plus")]


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize(("name", "layer"), marked(PAIRS, [("maml", "softmax")], SOME))
def test_an_inductive_answer_leaks_nothing_of_other_queries(name, layer):
    entry = registry.LEARNERS[name]
    learner, (x, _) = fitted(entry, around(DEPENDENT[layer]()), steps=0, normalization="inductive")
    x = x if not entry.joint else registry.batch("classification")[0]
    support_x, support_y, query_x = x
    together = learner.predict(x, verbose=0)
    others = query_x.copy()
    others[:, 1:] += 3
    for changed in ((support_x, support_y, others), (support_x, support_y, query_x[:, :1])):
        np.testing.assert_allclose(
            learner.predict(changed, verbose=0)[:, 0], together[:, 0], rtol=1e-6, atol=1e-9
        )
