"""Trains on one device and on two, in one process with two logical CPUs; prints how they differ."""

import json

import keras
import numpy as np
import tensorflow as tf

import tfmeta
from tfmeta.experiment.building import make_strategy
from tfmeta.experiment.checkpoints import state_of
from tfmeta.experiment.training import Training

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def stream(first):
    return tfmeta.tasks.glyphs("train", ways=3, shots=1, queries=2, seed=0, start=first)


def trained(name):
    strategy = make_strategy(name)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        network = tfmeta.networks.nonconv(ways=3, hidden=(8,))
        learner = tfmeta.MAML(network, inner_rate=0.5, normalization="running")
        # SGD shows a doubled gradient, which Adam hides.
        learner.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    training = Training(learner, strategy, tasks_per_step=4)
    training.build(stream(0))
    training.start(stream)
    progressed = training.advance(3)
    assert state_of(learner)
    weights = [v.numpy() for v in (*learner.parameter_variables, *learner.state_variables)]
    return strategy.num_replicas_in_sync, progressed.values, weights


(one, one_values, one_weights), (two, two_values, two_weights) = map(
    trained, ("one_device", "mirrored")
)
differences = (np.abs(a - b).max() for a, b in zip(one_weights, two_weights, strict=True))
result = {
    "replicas": [one, two],
    "values": [one_values, two_values],
    "largest_difference": float(max(differences)),
}
print(json.dumps(result))
