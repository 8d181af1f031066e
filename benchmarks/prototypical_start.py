"""Why the loss of a prototypical network starts far above that of guessing on mini-ImageNet.

    python -m benchmarks.prototypical_start [--pytorch_python=PYTHON] [--write]

The logits are minus squared distances, sums over all features of the embedding (1,600 here), so an
untrained network is very sure and mostly wrong. The script trains the recipe's network from one
initialisation on the same tasks twice: by tfmeta, and by a loop in PyTorch that is written from the
paper's equations. Both losses, step by step, stand beside ln(ways), the loss of guessing. `--write`
stores results/prototypical_start.json.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report

_WAYS = flags.DEFINE_integer("ways", 10, "Classes of a training task (the recipe has 30).", 2)
_QUERIES = flags.DEFINE_integer("queries", 5, "Queries a class (the recipe has 15).", 1)
_STEPS = flags.DEFINE_integer("steps", 300, "Meta-steps of one task.", 1)
_WINDOW = flags.DEFINE_integer("window", 20, "Steps that a printed mean is over.", 1)
_PYTORCH = flags.DEFINE_string("pytorch_python", sys.executable, "Interpreter with PyTorch.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/prototypical_start.json.")
RESULT = report.ROOT / "results" / "prototypical_start.json"
RATE = 1e-3


def recipe_network(ways: int) -> keras.Model:
    """The network of the recipe `mini_imagenet_5way_1shot_prototypical`."""
    keras.utils.set_random_seed(0)
    return tfmeta.networks.conv4(
        ways, (84, 84, 3), filters=64, downsampling="max_pool", head="flatten", scale=True
    )


def losses_of_tfmeta(network, tasks) -> list[float]:
    """The query loss before each step."""
    learner = tfmeta.PrototypicalNetwork(network, normalization="running", parallel="sequential")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(RATE), loss)
    losses = []
    for inputs, targets in tasks:
        learner.reset_metrics()
        losses.append(float(learner.train_on_batch(inputs, targets, return_dict=True)["loss"]))
    return losses


def losses_of_pytorch(weights, tasks) -> list[float]:
    """The same by a process with PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("weights.npz", "tasks.npz", "losses.json")]
        np.savez(files[0], **weights)
        arrays = {}
        for step, ((support_x, support_y, query_x), query_y) in enumerate(tasks):
            images = np.concatenate([support_x[0], query_x[0]])
            # The images of the data set are bytes; so they are kept in a fourth of the space.
            arrays[f"images_{step}"] = np.round(images * 255).astype(np.uint8)
            arrays[f"labels_{step}"] = np.concatenate([support_y[0], query_y[0]])
        np.savez(files[1], support=len(support_y[0]), **arrays)
        module = "benchmarks.prototypical_start_pytorch"
        subprocess.run([_PYTORCH.value, "-m", module, *files, str(RATE)], check=True)
        return json.loads(Path(files[2]).read_text())


def main(argv):
    del argv
    ways, window = _WAYS.value, _WINDOW.value
    stream = tfmeta.tasks.mini_imagenet("train", ways, 1, _QUERIES.value, count=_STEPS.value)
    tasks = [
        tuple(keras.tree.map_structure(keras.ops.convert_to_numpy, part) for part in batch[:2])
        for batch in stream.batch(1)
    ]
    network = recipe_network(ways)
    weights = {weight.path: weight.numpy() for weight in network.weights}
    features = network.get_layer("head").input.shape[-1]
    losses = {
        "pytorch": losses_of_pytorch(weights, tasks),
        "tfmeta": losses_of_tfmeta(network, tasks),
    }
    print(f"{features} features, {ways} ways: guessing has {math.log(ways):.3f}")
    for start in range(0, _STEPS.value, window):
        means = {name: np.mean(found[start : start + window]) for name, found in losses.items()}
        print(
            f"steps {start + 1} to {start + window}: tfmeta {means['tfmeta']:.3f}, "
            f"PyTorch {means['pytorch']:.3f}"
        )
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.prototypical_start", sys.argv[1:]),
            "features": features,
            "ways": ways,
            "queries": _QUERIES.value,
            "loss_of_guessing": math.log(ways),
            "losses": losses,
        }
        RESULT.write_text(json.dumps(document) + "\n")
        print(f"written: {RESULT}")


if __name__ == "__main__":
    app.run(main)
