"""Above which score the demo page says "none of these": thresholds of the shipped model.

For two to five classes with one drawing each: the score of the page (the energy of the logits of
the classes that were drawn, after 5 inner steps) of drawings of these classes, and of as many
strangers, characters outside the task. The threshold lets 5 % of the validation characters' own
drawings count as strangers; false alarms, recall and the area under the ROC curve are measured on
test characters.

    python -m benchmarks.demo_outliers --write   # results/demo_outliers.json; needs Omniglot
"""

import functools

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks.demo_episodes import ROOT, SHIPPED, SIGNATURE
from tfmeta.evaluation import outliers
from tfmeta.runs.files import write_json
from tfmeta.tasks import omniglot

RESULT = ROOT / "results" / "demo_outliers.json"
STEPS, QUERIES, BATCH = 5, 2, 10
WAYS = (2, 3, 4, 5)

_WRITE = flags.DEFINE_bool("write", False, f"Write {RESULT.relative_to(ROOT)}.")
_TASKS = flags.DEFINE_integer("tasks", 300, "Tasks of each split and number of classes.")


def main(_) -> None:
    """Measures the thresholds of all numbers of classes."""
    signature = tf.saved_model.load(str(SHIPPED)).signatures[SIGNATURE]
    rows = []
    for ways in WAYS:
        rows.append({"ways": ways, **measured(signature, ways, _TASKS.value)})
        print(rows[-1], flush=True)
    if _WRITE.value:
        command = f"python -m benchmarks.demo_outliers --write --tasks={_TASKS.value}"
        asked = {"shots": 1, "queries": QUERIES, "inner_steps": STEPS, "tasks": _TASKS.value}
        write_json(RESULT, {"command": command, **asked, "score": "energy", "rows": rows})


def measured(signature, ways: int, tasks: int) -> dict:
    """Threshold by validation characters, and what it does with test characters."""
    score = functools.partial(energies, signature, ways)
    options = {"ways": 2 * ways, "shots": 1, "queries": QUERIES, "rotations": None}
    streams = [
        omniglot(split, seed=seed, **options) for split, seed in (("validation", 3), ("test", 4))
    ]
    found = [
        outliers.scores_of_tasks(score, stream, ("energy",), ways, tasks, BATCH)[0]
        for stream in streams
    ]
    _, threshold, _ = outliers.choose(found[0])
    return {"threshold": threshold, **outliers.judged(found[1]["energy"], threshold)}


def energies(signature, ways: int, x, names, first_task) -> dict:
    """The page's score [T, Q] of every query of a batch of tasks."""
    found = []
    for support_x, support_y, query_x in zip(*(np.asarray(part) for part in x), strict=True):
        logits = signature(
            support_inputs=tf.constant(support_x),
            support_targets=tf.constant(support_y),
            query_inputs=tf.constant(query_x),
            inner_steps=tf.constant(STEPS, tf.int32),
            inner_rate_scale=tf.constant(1.0),
        )["logits"][:, :ways]
        found.append(-tf.reduce_logsumexp(logits, axis=-1).numpy())
    return {"energy": np.stack(found)}


if __name__ == "__main__":
    app.run(main)
