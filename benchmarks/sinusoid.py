"""MAML on sinusoids beside its two baselines: joint training with fine-tuning, and the oracle.

    python -m benchmarks.sinusoid [--runs=runs] [--seeds=4] [--write]

Trains the recipe sinusoid_maml.gin with each of the first `--seeds` seeds, and sinusoid_joint.gin,
in work directories under `--runs` (what is trained there already is used), and an oracle that is
given amplitude and phase with every x. Judges them all on the same held-out tasks. The jointly
trained network is fine-tuned at the rate that is best on validation tasks (Finn et al. 2017,
section 5.1). `--write` stores the figures in results/sinusoid.json.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfmeta
from benchmarks.whole_runs import train_whole
from tfmeta import evaluation
from tfmeta.runs import restore
from tfmeta.tasks.sinusoid import AMPLITUDES, INPUTS, PHASES, sinusoid_curve

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/sinusoid.json.")
_TASKS = flags.DEFINE_integer("tasks", 2000, "Held-out tasks.", 2)
_SEEDS = flags.DEFINE_integer("seeds", 4, "Seeds of MAML's training: 0, 1, ...", 1)
RESULT = Path(__file__).parents[1] / "results" / "sinusoid.json"

SHOTS = (5, 10, 20)
STEPS = 10
SHOWN = (0, 1, 5, 10)
TEST_SEED, VALIDATION_SEED = 1_000_003, 2_000_003
RATES = (0.0003, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05)
METRIC = "mean_squared_error"
# The oracle sees as many points a step as MAML's query sets have (25 tasks of 10).
ORACLE_STEPS, ORACLE_POINTS = 70_000, 250


def trained(name: str, seed: int = 0):
    """The learner of a recipe, trained if it is not yet."""
    workdir = Path(_RUNS.value) / f"{name}_seed{seed}"
    params = ["export.enabled = False", f"train.seed = {seed}"]
    train_whole(f"{name}.gin", params, workdir)
    return restore(workdir)


def judged(learner, shots: int, split: str, seed: int, tasks: int) -> dict:
    """Mean squared error of held-out tasks after 0 .. 10 steps."""
    stream = tfmeta.tasks.sinusoid(split, shots=shots, seed=seed)
    results = evaluation.evaluate_learner(
        learner, stream, tasks, inner_steps=STEPS, tasks_per_batch=100
    )
    return results[learner.normalization][METRIC]


def with_rate(learner, rate: float):
    """A learner of the same network that fine-tunes at another rate."""
    other = tfmeta.MAML(learner.network, inner_rate=rate, inner_steps=STEPS)
    other.compile("sgd", "mean_squared_error")
    return other


def best_rate(learner, shots: int) -> float:
    """The rate whose error after all steps is least on validation tasks, and finite."""

    def error(rate):
        found = judged(with_rate(learner, rate), shots, "validation", VALIDATION_SEED, 200)
        return np.inf if found["diverged"] else found["mean"][-1]

    return min(RATES, key=error)


def oracle() -> keras.Model:
    """A network from (x, amplitude, phase) to y, of the same hidden layers."""
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.mlp(input_dim=3)
    network.compile(keras.optimizers.Adam(1e-3), "mean_squared_error", steps_per_execution=500)
    generator = tf.random.Generator.from_seed(0)

    def draw(_):
        shape = [ORACLE_POINTS, 1]
        x, amplitude, phase = (
            generator.uniform(shape, *limits) for limits in (INPUTS, AMPLITUDES, PHASES)
        )
        return tf.concat([x, amplitude, phase], axis=1), amplitude * tf.sin(x - phase)

    points = tf.data.Dataset.counter().map(draw).prefetch(2)
    network.fit(points, steps_per_epoch=ORACLE_STEPS, verbose=2, shuffle=False)
    return network


def oracle_errors(network, shots: int, tasks: int) -> dict:
    """The oracle's error on the queries of the held-out tasks; it does not adapt."""
    stream = tfmeta.tasks.sinusoid("test", shots=shots, seed=TEST_SEED)
    (_, _, query_x), query_y = next(iter(stream.batch(tasks)))
    known = [
        np.concatenate(
            [np.ravel(value) for value in tfmeta.tasks.sinusoid_parameters(TEST_SEED, i)]
        )
        for i in range(tasks)
    ]
    amplitude, phase = np.asarray(known, "float32").T[:, :, None, None]
    expected = sinusoid_curve(query_x, amplitude[:, 0], phase[:, 0, None])
    np.testing.assert_allclose(expected, query_y, atol=1e-4)
    each = np.broadcast_to(amplitude, query_x.shape), np.broadcast_to(phase, query_x.shape)
    inputs = np.concatenate([query_x, *each], axis=-1).reshape(-1, 3)
    outputs = network.predict(inputs, batch_size=4096, verbose=0).reshape(query_y.shape)
    errors = np.square(outputs - query_y.numpy()).mean(axis=(1, 2))
    spread = 1.96 * errors.std(ddof=1) / np.sqrt(tasks)
    return {"mean": [float(errors.mean())], "interval95": [float(spread)], "diverged": 0}


def row(training: str, shots: int, summary: dict, **more) -> dict:
    """One line of the result, which is printed too."""
    steps = [step for step in SHOWN if step < len(summary["mean"])]
    cells = [f"{summary['mean'][s]:.3f} +- {summary['interval95'][s]:.3f}" for s in steps]
    print(f"K = {shots:<3} {training:<40} {'   '.join(cells)}   diverged {summary['diverged']}")
    picked = {key: summary[key] for key in ("mean", "interval95", "median") if key in summary}
    kept = {key: [values[s] for s in steps] for key, values in picked.items()}
    return {
        "training": training, "shots": shots, "inner_steps": steps, **kept,
        "diverged": summary["diverged"], **more,
    }  # fmt: skip


def main(_):
    tasks = _TASKS.value
    maml = {seed: trained("sinusoid_maml", seed) for seed in range(_SEEDS.value)}
    joint = trained("sinusoid_joint")
    told = oracle()
    print(f"mean squared error after {', '.join(map(str, SHOWN))} steps, {tasks} test tasks")
    rows = []
    for shots in SHOTS:
        for seed, learner in maml.items():
            found = judged(learner, shots, "test", TEST_SEED, tasks)
            rows.append(row(f"MAML, seed {seed}", shots, found, seed=seed))
        rate = best_rate(joint, shots)
        tuned = judged(with_rate(joint, rate), shots, "test", TEST_SEED, tasks)
        rows.append(row(f"joint, fine-tuned at {rate}", shots, tuned, rate=rate))
        rows.append(row("oracle", shots, oracle_errors(told, shots, tasks)))
    if _WRITE.value:
        document = {
            "command": "python -m benchmarks.sinusoid --write",
            "protocol": {
                "network": "1-40-40-1, ReLU (oracle: 3-40-40-1)", "metric": METRIC,
                "tasks": tasks, "queries": "as shots", "test_seed": TEST_SEED,
                "checkpoint": "best of validation tasks, 70,000 steps", "cores": os.cpu_count(),
                "tensorflow": tf.__version__,
            },
            "rows": rows,
        }  # fmt: skip
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
