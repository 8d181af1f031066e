"""What exact second derivatives are worth in accuracy: paired runs with and without them.

    python -m benchmarks.exact_against_stock --write

Both arms of a pair start from the same weights, see the same tasks and differ in one thing:
whether the moments of batch normalisation keep their stopped gradient (stock TensorFlow) or not
(tfmeta). Real Omniglot, MAML's network and settings; fewer meta-steps than the paper's, by flag.
Finished runs are kept in the results file, so that the command can be stopped and started again.
"""

import contextlib
import json
import pathlib
import sys
import time
from unittest import mock

import keras
import numpy as np
from absl import app, flags

import tfmeta

_STEPS = flags.DEFINE_integer("steps", 600, "Meta-steps of a run.")
_TASKS = flags.DEFINE_integer("tasks_per_step", 16, "Tasks of a meta-step.")
_INNER_STEPS = flags.DEFINE_integer("inner_steps", 1, "Inner steps in training.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Pairs.")
_TEST_TASKS = flags.DEFINE_integer("test_tasks", 600, "Held-out tasks.")
_WRITE = flags.DEFINE_bool("write", False, "Write results/exact_against_stock.json.")

_RESULTS = pathlib.Path("results/exact_against_stock.json")
_ARMS = {
    "exact": contextlib.nullcontext,
    "stock": lambda: mock.patch(
        "tfmeta.inner.network.exact_derivatives", return_value=contextlib.nullcontext()
    ),
}


def train_and_test(arm, seed):
    """Accuracy of each held-out task [tasks], after 3 inner steps, and seconds of training."""
    keras.utils.set_random_seed(seed)
    with _ARMS[arm]():
        learner = tfmeta.MAML(
            tfmeta.networks.conv4(ways=5),
            inner_rate=2.0,
            inner_steps=_INNER_STEPS.value,
            test_inner_steps=3,
            adapted="!norm_*",
        )
        learner.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        train = tfmeta.tasks.omniglot("train", ways=5, shots=1, queries=1, seed=seed)
        start = time.monotonic()
        learner.fit(train.batch(_TASKS.value), steps_per_epoch=_STEPS.value, verbose=0)
        seconds = time.monotonic() - start
    # The forward pass is the same in both arms: one test for both, outside the arm.
    test = tfmeta.tasks.omniglot("test", ways=5, queries=1, seed=1, count=_TEST_TASKS.value)
    correct = []
    for x, y in test.batch(50):
        answers = np.argmax(learner.predict_on_batch(x), axis=-1)
        correct.append((answers == y.numpy()).mean(axis=1))
    return np.concatenate(correct), seconds


def summary(runs, seeds):
    """Mean accuracy of each arm and the paired difference with its 95 % interval over seeds."""
    pairs = [(runs[f"exact/{s}"], runs[f"stock/{s}"]) for s in seeds]
    differences = np.array([a["accuracy"] - b["accuracy"] for a, b in pairs])
    # Student's t with n - 1 degrees of freedom: few pairs have wide intervals.
    t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(differences), 1.96)
    return {
        "exact": float(np.mean([a["accuracy"] for a, _ in pairs])),
        "stock": float(np.mean([b["accuracy"] for _, b in pairs])),
        "difference": float(differences.mean()),
        "interval95": float(t * differences.std(ddof=1) / np.sqrt(len(differences))),
        "pairs": len(differences),
    }


def main(_):
    protocol = {
        "command": "python -m benchmarks.exact_against_stock " + " ".join(sys.argv[1:]),
        "data": "omniglot 5-way 1-shot, 1 query, test split, transductive, 3 inner steps at test",
        "steps": _STEPS.value,
        "tasks_per_step": _TASKS.value,
        "inner_steps": _INNER_STEPS.value,
        "test_tasks": _TEST_TASKS.value,
    }
    results = {"protocol": protocol, "runs": {}}
    if _WRITE.value and _RESULTS.exists():
        kept = json.loads(_RESULTS.read_text())
        same = all(kept["protocol"][k] == v for k, v in protocol.items() if k != "command")
        results = kept if same else results
    for seed in range(_SEEDS.value):
        for arm in _ARMS:
            if f"{arm}/{seed}" in results["runs"]:
                continue
            accuracies, seconds = train_and_test(arm, seed)
            accuracy = float(accuracies.mean())
            results["runs"][f"{arm}/{seed}"] = {
                "accuracy": accuracy,
                "interval95": float(1.96 * accuracies.std(ddof=1) / np.sqrt(len(accuracies))),
                "seconds": round(seconds, 1),
            }
            print(f"seed {seed}, {arm}: {100 * accuracy:.2f} %, {seconds:.0f} s", flush=True)
            finished = [s for s in range(seed + 1) if f"stock/{s}" in results["runs"]]
            if len(finished) > 1:
                results["summary"] = summary(results["runs"], finished)
            if _WRITE.value:
                _RESULTS.parent.mkdir(exist_ok=True)
                _RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results.get("summary"), indent=2))


if __name__ == "__main__":
    app.run(main)
