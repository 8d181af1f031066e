"""Fits learners of the registry on one device and on two logical CPUs; prints how they differ.

Called with pairs NAME:KIND, of a learner and of one of `KINDS`; without, with all of them. A line
of JSON each: the differences, the sentence by which a learner is "refused", or the error by which
it "failed". `--write` keeps the lines in results/two_replicas.json, beside those of earlier calls.
Exits with 1 where one failed.
"""

import contextlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.conformance import registry
from tests.keras_contract.networks import around
from tests.keras_contract.reference_steps import largest_difference, stream, values

# Every clip shows where shares are clipped, and Adam would hide a longer step.
KINDS = {
    "clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
    "accumulating": lambda: keras.optimizers.SGD(
        0.1,
        gradient_accumulation_steps=2,
        clipnorm=0.2,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=2,
    ),
    # One task of the second batch diverges, which leaves one replica without a finite task.
    "skipping": lambda: keras.optimizers.SGD(0.1),
    # With a weight a task, of which one is 0, and averages of batch normalisation. At a rate of
    # 0.01 PLATIPUS diverges here.
    "weighted": lambda: keras.optimizers.SGD(0.001),
}
# Nothing of the last batch counts: its step leaves the state as it is.
TASK_WEIGHTS = np.array([1.0, 0.0, 3.0, 0.5, 2.5, 0.0])


WRITE = "--write"
RESULT = Path(__file__).parents[2] / "results" / "two_replicas.json"


def learner_of(entry, kind):
    """A compiled learner of a registry's entry, for one of `KINDS`."""
    regression = entry.kinds[0] == "regression"
    options = {"metrics": ["mae" if regression else "accuracy"]}
    if kind == "skipping":
        return entry.compiled(optimizer=KINDS[kind](), diverged_tasks="skip")
    if kind != "weighted":
        return entry.compiled(optimizer=KINDS[kind](), fit=options)
    network = around(keras.layers.BatchNormalization(dtype="float64"))
    learner = entry(network, normalization="running")
    options["weighted_metrics"] = options.pop("metrics")
    learner.compile(KINDS[kind](), registry.loss(entry.kinds[0]), **options)
    return learner


def fitted(name, kind, scope):
    """(variables, history, evaluation, predictions) after batches of 3, 2 and 1 tasks."""
    entry = registry.LEARNERS[name]
    with scope:
        learner = learner_of(entry, kind)
    whole = entry.batch(tasks=6)
    if kind == "weighted":
        whole = (*whole, TASK_WEIGHTS)
    if kind == "skipping":
        whole[0][1][3] = 1e200
    parts = [slice(0, 3), slice(3, 5), slice(5, 6)]
    batches = [tf.nest.map_structure(lambda array, part=part: array[part], whole) for part in parts]
    history = learner.fit(stream(batches), verbose=0).history
    evaluated = not (entry.joint or kind == "skipping")
    evaluation = learner.evaluate(stream(batches), verbose=0) if evaluated else None
    (sx, sy, qx), *_ = batches[0]
    inputs = tf.data.Dataset.from_tensors(((sx, sy, qx),))
    predictions = learner.predict(inputs, verbose=0)
    variables = values([*learner.parameter_variables, *learner.state_variables])
    return variables, history, evaluation, predictions


def compared(name, kind, strategy):
    """The largest difference of each result between one device and two.

    Predictions of learners that diverge are large, so theirs is a share of the largest, if above 1.
    """
    one = fitted(name, kind, contextlib.nullcontext())
    two = fitted(name, kind, strategy.scope())
    history = [abs(one[1][key][0] - two[1][key][0]) for key in one[1]]
    evaluation = 0.0 if one[2] is None else np.abs(np.subtract(one[2], two[2])).max()
    return {
        "name": name,
        "kind": kind,
        "variables": largest_difference(one[0], two[0]),
        "history": float(max(history)),
        "evaluation": float(evaluation),
        "predictions": float(np.abs(one[3] - two[3]).max() / max(1.0, np.abs(one[3]).max())),
    }


def two_cpus():
    """A strategy of two logical CPUs, which must be made before TensorFlow computes."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def all_pairs():
    """Every learner with every kind that its network takes."""
    return [
        f"{name}:{kind}"
        for name, entry in registry.LEARNERS.items()
        for kind in KINDS
        if {
            "weighted": entry.gradient_steps and not entry.warp,
            "skipping": name == "maml",
        }.get(kind, True)
    ]


def keep(row):
    """Stores the line of a pair in place of the one of an earlier call."""
    stored = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    pairs = {**stored.get("pairs", {}), f"{row['name']}:{row['kind']}": row}
    command = f"python -m tests.keras_contract.two_replicas {WRITE}"
    lines = ",\n".join(f"{json.dumps(pair)}: {json.dumps(pairs[pair])}" for pair in sorted(pairs))
    text = f'{{"command": "{command}", "pairs": {{\n{lines}\n}}}}\n'
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    mirrored, failed = two_cpus(), False
    for pair in [argument for argument in sys.argv[1:] if argument != WRITE] or all_pairs():
        asked, kind_name = pair.split(":")
        try:
            found = compared(asked, kind_name, mirrored)
        except ValueError as error:
            found = {"name": asked, "kind": kind_name, "refused": str(error)}
        except (TypeError, tf.errors.OpError) as error:
            failed = True
            found = {"name": asked, "kind": kind_name, "failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)
        if WRITE in sys.argv:
            keep(found)
    sys.exit(failed)
