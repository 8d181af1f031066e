"""Fits learners of the registry on one device and on two logical CPUs; prints how they differ.

Called with names of learners; without, with all of them. A line of JSON each.
"""

import contextlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from tests.conformance import registry
from tests.keras_contract.reference_steps import largest_difference, stream, values

OPTIONS = {
    # Every clip shows where shares are clipped, and Adam would hide a longer step.
    "clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
    "accumulating": lambda: keras.optimizers.SGD(
        0.1,
        gradient_accumulation_steps=2,
        clipnorm=0.2,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=2,
    ),
}


def fitted(name, kind, scope, **options):
    """(variables, history, evaluation, predictions) after batches of 3, 2 and 1 tasks."""
    entry = registry.LEARNERS[name]
    regression = entry.kinds[0] == "regression"
    with scope:
        learner = entry.compiled(
            optimizer=OPTIONS[kind](),
            fit={"metrics": ["mae" if regression else "accuracy"]},
            **options,
        )
    (sx, sy, qx), qy = entry.batch(tasks=6)
    parts = [slice(0, 3), slice(3, 5), slice(5, 6)]
    batches = [((sx[part], sy[part], qx[part]), qy[part]) for part in parts]
    history = learner.fit(stream(batches), verbose=0).history
    evaluation = None if entry.joint else learner.evaluate(stream(batches), verbose=0)
    inputs = tf.data.Dataset.from_tensors(((sx[:3], sy[:3], qx[:3]),))
    predictions = learner.predict(inputs, verbose=0)
    variables = values([*learner.parameter_variables, *learner.state_variables])
    return variables, history, evaluation, predictions


def compared(name, kind, strategy, **options):
    """The largest difference of each result between one device and two."""
    one = fitted(name, kind, contextlib.nullcontext(), **options)
    two = fitted(name, kind, strategy.scope(), **options)
    history = [abs(one[1][key][0] - two[1][key][0]) for key in one[1]]
    evaluation = 0.0 if one[2] is None else np.abs(np.subtract(one[2], two[2])).max()
    return {
        "name": name,
        "kind": kind,
        "variables": largest_difference(one[0], two[0]),
        "history": float(max(history)),
        "evaluation": float(evaluation),
        "predictions": float(np.abs(one[3] - two[3]).max()),
    }


def two_cpus():
    """A strategy of two logical CPUs, which must be made before TensorFlow computes."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


if __name__ == "__main__":
    mirrored = two_cpus()
    for learner_name in sys.argv[1:] or registry.LEARNERS:
        for kind_name in OPTIONS:
            try:
                found = compared(learner_name, kind_name, mirrored)
            except ValueError as error:
                found = {"name": learner_name, "kind": kind_name, "refused": str(error)}
            print(json.dumps(found), flush=True)
