"""Networks of the registry's form around one layer, and tasks for them."""

import keras
import numpy as np
import tensorflow as tf

from tests.conformance import registry

MODES = ("transductive", "inductive", "running")


def around(*layers, dtype="float64", seed=3):
    """A tanh network 2-4-3 with layers before its head; weights as `registry.network`'s."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((registry.INPUTS,), dtype=dtype)
    x = keras.layers.Dense(4, activation="tanh", dtype=dtype)(inputs)
    for layer in layers:
        x = layer(x)
    head = keras.layers.Dense(registry.OUTPUTS, dtype=dtype, name="head")
    network = keras.Model(inputs, head(x))
    for index, weight in enumerate(network.trainable_variables):
        weight.assign(np.random.default_rng(seed + index).normal(size=weight.shape))
    return network


def fitted(entry, network, *, steps=1, tasks=3, compile_options=None, **options):
    """The learner of a registry's entry, compiled and trained for some meta-steps.

    Returns:
        The learner and its batch.
    """
    keras.utils.set_random_seed(9)
    learner = entry(network, **options)
    compile_options = {
        "run_eagerly": tf.config.functions_run_eagerly(),
        **(compile_options or {}),
    }
    learner.compile(keras.optimizers.SGD(0.1), registry.loss(entry.kinds[0]), **compile_options)
    batch = entry.batch(tasks=tasks)
    for _ in range(steps):
        learner.train_on_batch(*batch)
    return learner, batch
