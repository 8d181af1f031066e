"""Puts an export into the demo as the model that it ships.

    python -m tfmeta.export --workdir=W --export_dir=E --normalization=inductive
    python -m benchmarks.demo_model --export_dir=E

The newest version becomes `tfmeta/serve/demo/model/1/`: graph and weights as they are; warmup
records of the page's requests and of `serving_default`, since the records of the other signatures
are most of an export's size.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow_serving.apis import prediction_log_pb2

_EXPORT = flags.DEFINE_string("export_dir", None, "Directory of the export's versions.")
TARGET = Path(__file__).parents[1] / "tfmeta" / "serve" / "demo" / "model" / "1"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
SIGNATURE = "adapt_and_predict_with"
CLASSES = (2, 3, 4, 5)  # that a person may draw
MAX_BYTES = 3 * 2**20


def ship(export_dir, target=TARGET):
    """Copies the newest version to `target`, which is replaced.

    Args:
        export_dir: directory of versions.
        target: the version directory to make.

    Returns:
        The size of `target`, in bytes.

    Raises:
        ValueError: if the export is not what the page asks for.
    """
    versions = [path for path in Path(export_dir).glob("*/") if path.name.isdigit()]
    if not versions:
        raise ValueError(
            f"--export_dir must hold versions. Received: {export_dir}, which has none. Run "
            "`python -m tfmeta.export` first."
        )
    newest = max(versions, key=lambda path: int(path.name))
    _check(json.loads((newest / "assets.extra" / "tfmeta.json").read_text()))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(newest, target)
    write_warmup(target / WARMUP)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise ValueError(f"A shipped model must be at most {MAX_BYTES} bytes. Received: {size}.")
    return size


def _check(description):
    wanted = {"kind": "classification", "target": "sparse", "normalization": "inductive"}
    got = {key: description.get(key) for key in wanted}
    shape = description["inputs"].get("inputs", {}).get("shape")
    if got != wanted or shape != [28, 28, 1] or description["output_shape"] != [max(CLASSES)]:
        raise ValueError(
            f"The page asks a classifier of {max(CLASSES)} classes and 28 x 28 x 1 images, with "
            "sparse labels and inductive normalisation, so that an answer depends on one query "
            f"alone. Received: {got}, inputs {shape}, outputs {description['output_shape']}. "
            "Export the recipe omniglot_demo with --normalization=inductive."
        )


def write_warmup(path):
    """Writes records of requests with one query: the page's for each number of classes, and one
    of the default signature, which most other clients send."""
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for classes in CLASSES:
            drawings = np.float32(random.random((classes + 1, 28, 28, 1)) < 0.1)
            task = {
                "support_inputs": drawings[:-1],
                "support_targets": np.arange(classes, dtype=np.int32),
                "query_inputs": drawings[-1:],
            }
            steps = {"inner_steps": np.int32(5), "inner_rate_scale": np.float32(1)}
            writer.write(_record(SIGNATURE, {**task, **steps}))
        writer.write(_record("serving_default", task))


def _record(signature, inputs):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def main(argv):
    del argv
    size = ship(_EXPORT.value)
    print(f"demo model: {size / 2**20:.2f} MiB in {TARGET}")


if __name__ == "__main__":
    flags.mark_flag_as_required("export_dir")
    app.run(main)
