"""Negative log-likelihood on sinusoids of 5 points: learners that sample weights beside MAML.

    python -m benchmarks.probabilistic_sinusoid [--runs=runs] [--steps=20000] [--seeds=2] [--write]

Trains each learner's recipe for as many meta-steps, from the same seeds on the same tasks, in work
directories under `--runs` (what is trained there already is used), and takes the checkpoint that
was best on validation tasks. Every predictive is a mixture of Gaussians around the samples (MAML's
one Gaussian around its answer). Their deviation is for each learner, MAML too, that which is best
on validation tasks, and so is LLAMA's prior precision. Differences to MAML of the same seed are
paired over test tasks; so are those to the learner's own mean prediction with one Gaussian around
it, which say what the spread of the samples is worth. Tasks that diverged are counted, and left out
of means. `--write` stores figures and pictures in
results/probabilistic_sinusoid/, learner by learner as they come, beside those of earlier calls with
the same protocol and the same MAML, to the digit; with another MAML under that call's own name.
"""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.intervals import interval
from benchmarks.whole_runs import train_whole
from tfmeta.evaluation import DIVERGED_TIMES
from tfmeta.evaluation.calibration import (
    coverage,
    gaussian_mixture_log_density,
    gaussian_mixture_quantiles,
    sampled_predictions,
)
from tfmeta.inner.likelihood import Likelihood
from tfmeta.runs import restore

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_STEPS = flags.DEFINE_integer("steps", 20_000, "Meta-steps of each learner.", 1)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of training: 0, 1, ...", 1)
_TASKS = flags.DEFINE_integer("tasks", 1000, "Test tasks.", 2)
_NAMES = flags.DEFINE_list(
    "learners", ["bfa", "platipus", "bmaml", "llama"], "Beside MAML, in this order."
)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/.")
RESULTS = Path(__file__).parents[1] / "results" / "probabilistic_sinusoid"

SHOTS, QUERIES, INNER_STEPS = 5, 20, 10
TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS = 1_000_003, 2_000_003, 500
NOISES = np.exp(np.linspace(np.log(0.03), np.log(3.0), 60))
PRECISIONS = (300.0, 1000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0)


def workdir(name: str, seed: int) -> Path:
    """Where a recipe's run is, or goes."""
    return Path(_RUNS.value) / f"sinusoid_{name}_{_STEPS.value}steps_seed{seed}"


def trained(name: str, seed: int):
    """The learner of a recipe, trained if it is not yet."""
    params = [
        f"train.steps = {_STEPS.value}",
        f"train.seed = {seed}",
        f"evaluate.shots = ({SHOTS},)",
        "export.enabled = False",
    ]
    place = workdir(name, seed)
    train_whole(f"sinusoid_{name}.gin", params, place)
    return restore(place)


def predictions(learner, split: str, seed: int, tasks: int):
    """(samples [T, n, Q, 1], targets [T, Q, 1]) of held-out tasks."""
    stream = tfmeta.tasks.sinusoid(split, shots=SHOTS, queries=QUERIES, seed=seed)
    likelihood = Likelihood.of(learner.loss_function.loss, 1.0)
    found = [
        (sampled_predictions(learner, likelihood, x, INNER_STEPS), y.numpy())
        for x, y in stream.batch(100).take(-(-tasks // 100))
    ]
    return tuple(np.concatenate(parts)[:tasks] for parts in zip(*found, strict=True))


def diverged(samples, targets):
    """Which tasks' mean prediction is no number, or far worse than saying 0 [T]."""
    errors = np.square(samples.mean(axis=1) - targets).mean(axis=(1, 2))
    return ~(errors <= DIVERGED_TIMES * np.square(targets).mean())


def best_noise(samples, targets):
    """(deviation, negative log-likelihood) that is least on these tasks."""
    kept = ~diverged(samples, targets)
    samples, targets = samples[kept], targets[kept]
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
    """(learner, its choices, deviations for samples and for their mean), by validation tasks."""
    candidates = [(learner, {})]
    if isinstance(learner, tfmeta.LLAMA):
        candidates = [
            (with_precision(learner, tau), {"prior_precision": tau}) for tau in PRECISIONS
        ]
    scored = []
    for candidate, choices in candidates:
        samples, targets = predictions(candidate, "validation", VALIDATION_SEED, VALIDATION_TASKS)
        noise, value = best_noise(samples, targets)
        of_mean, _ = best_noise(samples.mean(axis=1, keepdims=True), targets)
        print(choices, f"noise {noise:.3f}: {value:.3f} on validation tasks", flush=True)
        scored.append((value, candidate, choices, (noise, of_mean)))
    return min(scored, key=lambda row: row[0])[1:]


def compared(values, others) -> dict:
    """Paired differences; the median too, since one task of a large error can outweigh all."""
    differences = values - others
    return {**interval(differences), "median": float(np.nanmedian(differences))}


def judged(learner, baseline) -> tuple[dict, np.ndarray]:
    """(figures, negative log-likelihood of each test task)."""
    learner, choices, (noise, noise_of_mean) = fitted(learner)
    samples, targets = predictions(learner, "test", TEST_SEED, _TASKS.value)
    lost = diverged(samples, targets)
    samples[lost] = np.nan
    mean = samples.mean(axis=1, keepdims=True)
    each = -gaussian_mixture_log_density(samples, targets, noise).mean(axis=1)
    of_mean = -gaussian_mixture_log_density(mean, targets, noise_of_mean).mean(axis=1)
    errors = np.square(mean[:, 0] - targets).mean(axis=(1, 2))
    quantiles = gaussian_mixture_quantiles(samples, targets, noise)
    figures = {
        "negative_log_likelihood": interval(each),
        "mean_squared_error": interval(errors),
        "calibration_error": coverage(quantiles[~lost])["calibration_error"],
        "spread": float(np.nanmean(samples.std(axis=1))),
        "diverged": int(lost.sum()),
        "noise": noise,
        **choices,
    }
    if baseline is not None:
        figures["minus_maml"] = compared(each, baseline)
        figures["minus_own_mean"] = compared(each, of_mean)
    return figures, each


def of_all_seeds(each: list[np.ndarray], baselines: list[np.ndarray]) -> dict:
    """Means over seeds, with the interval over tasks of each task's mean over seeds."""
    found, reference = np.mean(each, axis=0), np.mean(baselines, axis=0)
    return {
        "negative_log_likelihood": interval(found),
        "minus_maml": compared(found, reference),
    }


def write(found: dict, name: str) -> None:
    """Stores the figures so far, and the pictures of a learner's first seed."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"steps_{_STEPS.value}.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else found
    maml = found["learners"]["maml"]
    if (earlier["protocol"], earlier["learners"]["maml"]) == (found["protocol"], maml):
        commands = dict.fromkeys([*earlier["command"].split("; "), found["command"]])
        learners = {**earlier["learners"], **found["learners"]}
        found = {**found, "command": "; ".join(commands), "learners": learners}
    else:
        path = path.with_stem("_".join([path.stem, *_NAMES.value]))
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for picture in ("adaptation", "calibration"):
        drawn = workdir(name, 0) / f"{picture}.png"
        if drawn.is_file():
            shutil.copy(drawn, RESULTS / f"{name}_{picture}.png")


def main(_):
    found = {
        "command": report.command("benchmarks.probabilistic_sinusoid", sys.argv[1:]),
        "protocol": {
            "steps": _STEPS.value,
            "seeds": _SEEDS.value,
            "checkpoint": "best of validation tasks",
            "shots": SHOTS,
            "queries": QUERIES,
            "inner_steps": INNER_STEPS,
            "test_tasks": _TASKS.value,
            "validation_tasks": VALIDATION_TASKS,
        },
        "learners": {},
    }
    baselines = [None] * _SEEDS.value
    for name in ["maml", *_NAMES.value]:
        by_seed = [judged(trained(name, seed), baselines[seed]) for seed in range(_SEEDS.value)]
        each = [values for _, values in by_seed]
        baselines = each if name == "maml" else baselines
        all_seeds = of_all_seeds(each, baselines)
        found["learners"][name] = {**all_seeds, "by_seed": [figures for figures, _ in by_seed]}
        print(name, json.dumps(found["learners"][name]), flush=True)
        if _WRITE.value:
            write(found, name)


if __name__ == "__main__":
    app.run(main)
