"""Noise, state and batch dependence of layers, for every learner."""

import numpy as np
from keras import layers, random

from tests.conformance import registry
from tests.keras_contract.features import feature
from tests.keras_contract.networks import around, fitted


class Unseeded(layers.Layer):
    """Draws from Keras' global seed generator in training."""

    def call(self, x, training=False):
        return random.dropout(x, 0.5) if training else x


def unwarped(entry):
    return entry.warp is None


@feature("layers: noise is silent", applies=unwarped, tolerance=1e-9)
def silent(entry):
    found = []
    for some in ([Unseeded(dtype="float64")], []):
        learner, (x, _) = fitted(entry, around(*some))
        found.append([learner.predict(x, verbose=0), *map(np.array, learner.parameter_variables)])
    return tuple(found)


@feature("layers: inductive answers without leaks", applies=unwarped, tolerance=1e-6)
def without_leaks(entry):
    network = around(layers.Softmax(axis=0, dtype="float64"))
    learner, (x, _) = fitted(entry, network, steps=0, normalization="inductive")
    support_x, support_y, query_x = registry.batch("classification")[0] if entry.joint else x
    changed = query_x.copy()
    changed[:, 1:] += 3
    answers = [
        learner.predict((support_x, support_y, queries), verbose=0)[:, 0]
        for queries in (query_x, changed)
    ]
    return tuple(answers)
