"""Trains a learner by XLA for a few steps and prints how often it was traced and compiled.

Run by `test_compilations.py` in a process of its own, since XLA reads its flags once a process.
"""

import json
import os
import pathlib
import sys
import tempfile


def main():
    steps = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as dump:
        os.environ["XLA_FLAGS"] = f"--xla_dump_to={dump} --xla_dump_hlo_as_text"
        print(json.dumps(train(steps, pathlib.Path(dump))))


def train(steps, dump):
    import keras

    from tests.conformance.test_compilations import batch, counted, image_network
    from tfmeta import MAML

    learner = MAML(image_network(), 0.1)
    learner.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    traces = counted(learner)
    counts, losses = [], []
    for step in range(steps):
        losses.append(float(learner.train_on_batch(*batch((5, 5, 1), seed=step))))
        counts.append((len(traces), len(compiled(dump, "one_step_on_data"))))
    return {"counts": counts, "losses": losses}


def compiled(dump, function):
    """Modules that XLA compiled of a function's name."""
    return {
        path.name.split(".")[0]
        for path in dump.glob("module_*before_optimizations.txt")
        if function in path.name
    }


if __name__ == "__main__":
    main()
