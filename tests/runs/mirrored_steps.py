"""Trains on one device and on two, in one process with two logical CPUs; prints how they differ."""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfmeta
from tests.keras_contract.two_replicas import compared
from tfmeta.runs import recipe, restore, train
from tfmeta.runs.building import make_strategy
from tfmeta.runs.training import Training

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
    weights = [v.numpy() for v in (*learner.parameter_variables, *learner.state_variables)]
    return strategy.num_replicas_in_sync, progressed.values, weights


(one, one_values, one_weights), (two, two_values, two_weights) = map(
    trained, ("one_device", "mirrored")
)
differences = (np.abs(a - b).max() for a, b in zip(one_weights, two_weights, strict=True))


def whole_run():
    """Trains a small recipe over both devices to its end, and gives the learner back."""
    small = ["train.steps = 2", "train.tasks_per_step = 4", "mlp.hidden = (8,)"]
    small += [
        "MAML.test_inner_steps = 1",
        "validate.tasks = 2",
        "evaluate.tasks = 2",
        "evaluate.shots = (5,)",
    ]
    # A picture of one-dimensional sinusoids takes longer than the rest.
    small += ["mlp.input_dim = 2", "sinusoid.input_dim = 2"]
    small += ["run.strategy = 'mirrored'", "log.tensorboard = False", "run.deterministic = False"]
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        train(recipe.read_recipe(["sinusoid_maml.gin"], small), workdir)
        files = sorted(str(path.relative_to(workdir)) for path in workdir.rglob("saved_model.pb"))
        replicas = json.loads((workdir / "run.json").read_text())["replicas"]
        return {"exports": files, "replicas": replicas, "learner": type(restore(workdir)).__name__}


result = {
    "run": whole_run(),
    "replicas": [one, two],
    "values": [one_values, two_values],
    "largest_difference": float(max(differences)),
    # A learner with parameters of its own; `two_replicas` has those that draw.
    "fit": compared("meta_sgd", "clipped", make_strategy("mirrored")),
}
print(json.dumps(result))
