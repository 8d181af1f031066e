"""Every learner through every layer of the conformance zoo: the full product.

    python -m benchmarks.conformance_matrix [--layers=...] [--learners=...] [--missing] [--write]

The tests run some pairs, eagerly, on one task. Here each pair is compared with the learner's
oracle in this way (the relative error), and pairs of the learners in `TRACED` take a batch of tasks
and two inner steps in a compiled function, in float64, too: the relative difference between tasks
in one pass and one after another, and the number of loops over tasks left in the vectorised
function.
`--write` keeps each row in results/conformance_matrix.json as soon as it is measured, beside those
of earlier calls; `--missing` leaves out the pairs that have a row there.
"""

import json
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import report
from benchmarks.turns import ROOT
from tests.conformance import registry, zoo
from tests.conformance.test_meta_gradients import LEARNERS, error
from tests.conformance.test_vectorised import LOOPS
from tfmeta.learners.answers.batch_answers import batch_meta_gradient
from tfmeta.tasks.task import unpack_tasks

_LAYERS = flags.DEFINE_list("layers", [], "Of the zoo; none: all.")
_LEARNERS = flags.DEFINE_list("learners", [], "Of the conformance tests; none: all.")
_MISSING = flags.DEFINE_bool("missing", False, "Only the pairs without a stored row.")
_WRITE = flags.DEFINE_bool("write", False, "Store results/conformance_matrix.json.")

RESULT = ROOT / "results" / "conformance_matrix.json"
TASKS, STEPS = 3, 2

# Conjugate gradients loop over their steps; the graph holds that loop and a function around it.
_OWN_LOOPS = {"imaml": 2}

# Settings beside those of the registry.
TRACED = {
    "maml": {"inner_steps": STEPS},
    "meta_sgd": {"inner_steps": STEPS},
    "imaml": {"inner_steps": STEPS, "cg_steps": 4},
    "reptile": {"inner_steps": STEPS, "inner_optimizer": "sgd", "batch_size": None},
    "gradient_combination": {"coefficients": (1, 2)},
    "maml_plus_plus": {"inner_steps": STEPS},
    "mt_net": {"inner_steps": STEPS},
}


def gradients(name, layer, parallel):
    """(the mean meta-gradient of a batch of tasks, loops over tasks in its graph)."""
    learner = registry.LEARNERS[name](layer.network(), parallel=parallel, **TRACED[name])
    learner.compile("sgd", "mse")
    for variable, value in zip(
        learner.network.trainable_variables, zoo.weights_near(learner.network, 1), strict=True
    ):
        variable.assign(value)
    (support_x, support_y), (query_x, query_y) = (
        layer.examples(TASKS, 3, seed=seed) for seed in (1, 2)
    )

    def gradient(x, y):
        return batch_meta_gradient(learner, unpack_tasks(x, y))

    traced = tf.function(gradient, autograph=False)
    concrete = traced.get_concrete_function((support_x, support_y, query_x), query_y)
    found, _ = concrete(*keras.tree.flatten(((support_x, support_y, query_x), query_y)))
    definition = concrete.graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes.extend(function.node_def)
    return found, sum(node.op in LOOPS for node in nodes)


def measure(name, layer):
    """One row: errors, loops and seconds of a learner through a layer."""
    start = time.perf_counter()
    if name not in TRACED:
        found = error(registry.LEARNERS[name], layer)
        return {"oracle_error": found, "seconds": time.perf_counter() - start}
    vectorised, loops = gradients(name, layer, "vectorized")
    sequential, _ = gradients(name, layer, "sequential")
    flat = [np.concatenate([np.ravel(g) for g in found]) for found in (vectorised, sequential)]
    difference = np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1])
    return {
        "oracle_error": error(registry.LEARNERS[name], layer),
        "vectorised_difference": float(difference),
        "loops_over_tasks": loops - _OWN_LOOPS.get(name, 0),
        "seconds": time.perf_counter() - start,
    }


def stored():
    """The rows that are there, by layer and learner."""
    return json.loads(RESULT.read_text(encoding="utf-8"))["layers"] if RESULT.exists() else {}


def write(layer, name, row):
    """Keeps a row beside those that are there."""
    rows = stored()
    rows.setdefault(layer, {})[name] = row
    found = {
        "command": "python -m benchmarks.conformance_matrix --write",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "machine": report.machine(),
        "tasks": TASKS,
        "inner_steps": STEPS,
        "layers": {name: rows[name] for name in zoo.LAYERS if name in rows},
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main(argv):
    del argv
    there = stored() if _MISSING.value else {}
    for name in _LEARNERS.value or LEARNERS:
        for layer in _LAYERS.value or zoo.LAYERS:
            if name in there.get(layer, {}):
                continue
            row = measure(name, zoo.LAYERS[layer])
            print(layer, name, json.dumps(row), flush=True)
            if _WRITE.value:
                write(layer, name, row)
            keras.backend.clear_session()


if __name__ == "__main__":
    app.run(main)
