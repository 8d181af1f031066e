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
    noisy, quiet = (
        fitted(entry, around(*some), steps=0, tasks=1)[0]
        for some in ([Unseeded(dtype="float64")], [])
    )
    # Keras' initializers draw from Python's generator, at which building a layer draws too.
    for variable, value in zip(noisy.parameter_variables, quiet.parameter_variables, strict=True):
        variable.assign(value)
    x, y = entry.batch(tasks=1)
    found = []
    for learner in (noisy, quiet):
        learner.train_on_batch(x, y)
        answers = learner.predict_on_batch(x)
        found.append([answers, *map(np.array, learner.parameter_variables)])
    return tuple(found)


@feature("layers: inductive answers without leaks", applies=unwarped, tolerance=1e-6)
def without_leaks(entry):
    network = around(layers.Softmax(axis=0, dtype="float64"))
    learner, (x, _) = fitted(entry, network, steps=0, tasks=1, normalization="inductive")
    support_x, support_y, query_x = (
        registry.batch("classification", tasks=1)[0] if entry.joint else x
    )
    changed = query_x.copy()
    changed[:, 1:] += 3
    answers = [
        np.array(learner.predict_on_batch((support_x, support_y, queries)))[:, 0]
        for queries in (query_x, changed)
    ]
    return tuple(answers)
