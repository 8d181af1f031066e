"""Negative log-likelihood on sinusoids of 5 points: learners that sample weights beside MAML.

    python -m benchmarks.probabilistic_sinusoid [--steps=3000] [--write]

Trains each learner for as many meta-steps from the same seed on the same tasks, with the settings
of its recipe. Every learner's predictive is a mixture of Gaussians around its samples (MAML's: one
Gaussian around its answer); their deviation is that which is best on validation tasks, and so is
LLAMA's prior precision. Differences to MAML are paired over test tasks. `--write` stores the
figures in results/probabilistic_sinusoid/steps_<steps>.json, learner by learner as they come.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report
from tfmeta import config, recipe
from tfmeta.calibration import (
    coverage,
    gaussian_mixture_log_density,
    gaussian_mixture_quantiles,
    sampled_predictions,
)
from tfmeta.learners.likelihood import Likelihood

_STEPS = flags.DEFINE_integer("steps", 3000, "Meta-steps of each learner.", 1)
_TASKS = flags.DEFINE_integer("tasks", 600, "Test tasks.", 2)
_NAMES = flags.DEFINE_list("learners", ["maml", "llama", "bfa", "platipus", "bmaml"], "In order.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/.")
RESULTS = Path(__file__).parents[1] / "results" / "probabilistic_sinusoid"

SHOTS, QUERIES, INNER_STEPS = 5, 20, 10
TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS = 1_000_003, 2_000_003, 300
NOISES = np.exp(np.linspace(np.log(0.03), np.log(3.0), 60))
PRECISIONS = (100.0, 300.0, 1000.0, 10_000.0)


def trained(name: str):
    """(learner, seconds) of a recipe's learner after `--steps` meta-steps."""
    with config.configured(recipe.read_recipe([f"sinusoid_{name}.gin"])) as settings:
        keras.utils.set_random_seed(0)
        learner = settings.train.learner()
        learner.compile(keras.optimizers.Adam(1e-3), keras.losses.MeanSquaredError())
        stream = settings.train.stream(split="train", seed=0).batch(settings.train.tasks_per_step)
    began = time.perf_counter()
    learner.fit(stream, steps_per_epoch=_STEPS.value, verbose=0)
    return learner, time.perf_counter() - began


def predictions(learner, split: str, seed: int, tasks: int):
    """(samples [T, n, Q, 1], targets [T, Q, 1]) of held-out tasks."""
    stream = tfmeta.tasks.sinusoid(split, shots=SHOTS, queries=QUERIES, seed=seed)
    likelihood = Likelihood.of(learner.loss_function.loss, 1.0)
    found = [
        (sampled_predictions(learner, likelihood, x, INNER_STEPS), y.numpy())
        for x, y in stream.batch(100).take(-(-tasks // 100))
    ]
    return tuple(np.concatenate(parts)[:tasks] for parts in zip(*found, strict=True))


def best_noise(samples, targets):
    """(deviation, negative log-likelihood) that is least on these tasks."""
    values = [-gaussian_mixture_log_density(samples, targets, noise).mean() for noise in NOISES]
    return float(NOISES[np.argmin(values)]), float(np.min(values))


def with_precision(learner, precision: float):
    """A LLAMA of the same network with another prior precision."""
    options = {**learner.get_config(), "network": learner.network, "prior_precision": precision}
    for name in ("inner_optimizer", "inner_loss"):
        options.pop(name)
    other = tfmeta.LLAMA(**options)
    other.compile("sgd", keras.losses.MeanSquaredError())
    return other


def fitted(learner):
    """(learner, its choices, deviation) as validation tasks choose them."""
    candidates = [(learner, {})]
    if isinstance(learner, tfmeta.LLAMA):
        candidates = [
            (with_precision(learner, tau), {"prior_precision": tau}) for tau in PRECISIONS
        ]
    scored = []
    for candidate, choices in candidates:
        noise, value = best_noise(
            *predictions(candidate, "validation", VALIDATION_SEED, VALIDATION_TASKS)
        )
        print(choices, f"noise {noise:.3f}: {value:.3f} on validation tasks", flush=True)
        scored.append((value, candidate, choices, noise))
    return min(scored, key=lambda row: row[0])[1:]


def interval(values) -> dict:
    """Mean and 95 % interval over tasks."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": float(values.mean()), "interval95": float(half)}


def judged(learner, seconds: float, baseline) -> tuple[dict, np.ndarray]:
    """(figures, negative log-likelihood of each test task)."""
    learner, choices, noise = fitted(learner)
    samples, targets = predictions(learner, "test", TEST_SEED, _TASKS.value)
    each = -gaussian_mixture_log_density(samples, targets, noise).mean(axis=1)
    errors = np.square(samples.mean(axis=1) - targets).mean(axis=(1, 2))
    quantiles = gaussian_mixture_quantiles(samples, targets, noise)
    figures = {
        "negative_log_likelihood": interval(each),
        "mean_squared_error": interval(errors),
        "calibration_error": coverage(quantiles)["calibration_error"],
        "spread": float(samples.std(axis=1).mean()),
        "noise": noise,
        **choices,
        "training_seconds": seconds,
    }
    if baseline is not None:
        figures["minus_maml"] = interval(each - baseline)
    return figures, each


def main(_):
    found = {
        "command": report.command("benchmarks.probabilistic_sinusoid", sys.argv[1:]),
        "protocol": {
            "steps": _STEPS.value,
            "seed": 0,
            "shots": SHOTS,
            "queries": QUERIES,
            "inner_steps": INNER_STEPS,
            "test_tasks": _TASKS.value,
            "validation_tasks": VALIDATION_TASKS,
        },
        "learners": {},
    }
    baseline = None
    for name in _NAMES.value:
        figures, each = judged(*trained(name), baseline)
        baseline = each if baseline is None else baseline
        found["learners"][name] = figures
        print(name, json.dumps(figures), flush=True)
        if _WRITE.value:
            (RESULTS / f"steps_{_STEPS.value}.json").write_text(
                json.dumps(found, indent=1) + "\n", encoding="utf-8"
            )


if __name__ == "__main__":
    app.run(main)
