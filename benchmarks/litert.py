"""A LiteRT file beside the SavedModel of the same learner: bytes, times of calls, distance.

    python -m benchmarks.litert --networks=mlp,conv4 --write

Networks: `mlp` (sinusoids, K = 10, 10 inner steps), `conv4` (28 x 28 x 1, 5-way 1-shot, 5 steps),
`conv4_max_pool` (84 x 84 x 3, 32 filters, 5-way 1-shot, 5 steps) and `mobilenet` (MobileNetV3Small
96 x 96 without pretrained weights, the head adapts, 25 support images, 5 steps). The first two are
trained for --train_steps steps, the others are as initialised. Times of calls are processor
seconds of this process, all threads together, medians of --repeats calls: in the interpreter that
TensorFlow brings, with its XNNPACK delegate, and in TensorFlow on the reloaded SavedModel.
`--write` stores results/litert.json, network by network.
"""

import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta
from tfmeta.saved_model import read_description
from tfmeta.saved_model.litert.agreement import interpreter_of

_NETWORKS = flags.DEFINE_list("networks", ["mlp", "conv4"], "Which networks.")
_REPEATS = flags.DEFINE_integer("repeats", 20, "Calls of each signature.", 1)
_TRAIN_STEPS = flags.DEFINE_integer("train_steps", 50, "Meta-steps before the export.", 0)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/litert.json.")

RESULT = Path(__file__).parents[1] / "results" / "litert.json"
SIGNATURES = ("adapt", "predict_adapted", "adapt_and_predict")
WAYS = 5


def main(argv):
    del argv
    for name in _NETWORKS.value:
        keras.utils.set_random_seed(0)
        learner, tasks = NETWORKS[name]()
        row = measure(learner, tasks)
        print(name, json.dumps(row, indent=2))
        if _WRITE.value:
            store(name, row)


def mlp():
    learner = tfmeta.MAML(
        tfmeta.networks.mlp(), inner_rate=0.01, inner_steps=1, test_inner_steps=10
    )
    learner.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mean_squared_error")
    streams = [tfmeta.tasks.sinusoid(s, shots=10, queries=100, seed=0) for s in ("train", "test")]
    return trained(learner, *streams)


def conv4():
    learner = classifier(tfmeta.networks.conv4(ways=WAYS), inner_rate=0.4)
    streams = [
        tfmeta.tasks.glyphs(s, ways=WAYS, shots=1, queries=15, seed=0) for s in ("train", "test")
    ]
    return trained(learner, *streams)


def conv4_max_pool():
    network = tfmeta.networks.conv4(
        ways=WAYS, image_shape=(84, 84, 3), filters=32, downsampling="max_pool", head="flatten"
    )
    return classifier(network, inner_rate=0.01), images((84, 84, 3), support=5, query=75)


def mobilenet():
    shape = (96, 96, 3)
    backbone = keras.applications.MobileNetV3Small(
        input_shape=shape, weights=None, include_top=False, pooling="avg"
    )
    tasks = images(shape, support=25, query=5, largest=255)
    # Without weights its features are near 1e-9: the averages become those of these images.
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(tasks[0][0][0], training=True)
    backbone.trainable = False
    inputs = keras.Input(shape)
    outputs = keras.layers.Dense(WAYS, name="head")(backbone(inputs))
    options = {"adapted": ["head/*"], "normalization": "running"}
    return classifier(keras.Model(inputs, outputs), inner_rate=0.1, **options), tasks


NETWORKS = {
    "mlp": mlp,
    "conv4": conv4,
    "conv4_max_pool": conv4_max_pool,
    "mobilenet": mobilenet,
}


def classifier(network, **options):
    learner = tfmeta.MAML(network, inner_steps=1, test_inner_steps=5, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    return learner


def trained(learner, train, test):
    """The learner after some meta-steps, and held-out tasks."""
    if _TRAIN_STEPS.value:
        learner.fit(train.batch(4), steps_per_epoch=_TRAIN_STEPS.value, verbose=0)
    return learner, next(iter(test.batch(4)))


def images(shape, support, query, largest=1.0, tasks=2):
    random = np.random.default_rng(0)

    def drawn(count):
        return random.uniform(0, largest, (tasks, count, *shape)).astype("float32")

    labels = np.tile(np.arange(support) % WAYS, (tasks, 1)).astype("int32")
    return (drawn(support), labels, drawn(query)), np.zeros((tasks, query), "int32")


def measure(learner, tasks) -> dict:
    """One row: both exports of a learner."""
    with tempfile.TemporaryDirectory() as folder:
        with stopped() as served_seconds:
            served = Path(learner.export(f"{folder}/served", warmup_sizes=[]))
        with stopped() as phone_seconds:
            phone = Path(learner.export(f"{folder}/phone", format="litert", tasks=tasks))
        description = read_description(phone)
        content = (phone / "model.tflite").read_bytes()
        signatures = tf.saved_model.load(str(served)).signatures
        times = call_times(interpreter_of(content), signatures, tasks)
        size = sum(path.stat().st_size for path in served.rglob("*") if path.is_file())
    found = description["agreement"]["adapt_and_predict"]
    output = found.get("logits", found["predictions"])
    return {
        **description["sizes"],
        "adapted_weights": description["adapted_weights"]["size"],
        "litert_bytes": len(content),
        "saved_model_bytes": size,
        "litert_export_processor_seconds": round(phone_seconds[0], 2),
        "saved_model_export_processor_seconds": round(served_seconds[0], 2),
        "distance": output["distance"],
        "float64_distance": output["float64_distance"],
        "processor_milliseconds_a_call": times,
        "versions": {name: description["versions"][name] for name in ("tensorflow", "keras")},
    }


def call_times(interpreter, signatures, tasks):
    (support_x, support_y, query_x), _ = tasks
    request = {
        "support_inputs": np.asarray(support_x[0]),
        "support_targets": np.asarray(support_y[0]),
        "query_inputs": np.asarray(query_x[0]),
    }
    adapted = signatures["adapt"](
        **{name: tf.constant(request[name]) for name in ("support_inputs", "support_targets")}
    )
    request["adapted_weights"] = adapted["adapted_weights"].numpy()
    request["weights_fingerprint"] = adapted["weights_fingerprint"].numpy()
    times = {}
    for name in SIGNATURES:
        run = interpreter.get_signature_runner(name)
        known = {key: request[key] for key in interpreter.get_signature_list()[name]["inputs"]}
        function = signatures[name]
        wanted = {key: tf.constant(request[key]) for key in function.structured_input_signature[1]}
        times[name] = {
            "litert": median(lambda run=run, known=known: run(**known)),
            "saved_model": median(lambda function=function, wanted=wanted: function(**wanted)),
        }
    return times


def median(call):
    """Processor milliseconds of a call."""
    call()
    found = []
    for _ in range(_REPEATS.value):
        with stopped() as seconds:
            call()
        found.append(1e3 * seconds[0])
    return round(statistics.median(found), 3)


@contextlib.contextmanager
def stopped():
    """Gives a list that holds the processor seconds of what ran inside."""
    seconds, start = [], time.process_time()
    yield seconds
    seconds.append(time.process_time() - start)


def store(name, row):
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
    options = f"--train_steps={_TRAIN_STEPS.value} --repeats={_REPEATS.value}"
    row["command"] = f"python -m benchmarks.litert --networks={name} {options} --write"
    known.setdefault("networks", {})[name] = row
    RESULT.write_text(json.dumps(known, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    app.run(main)
