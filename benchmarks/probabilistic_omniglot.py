"""Accuracy and calibration on Omniglot 5-way 1-shot: learners that sample weights beside MAML.

    python -m benchmarks.probabilistic_omniglot [--runs=runs] [--network=conv4|nonconv]
        [--learners=bfa] [--seeds=2] [--write]

Trains each learner's recipe for as many meta-steps, from the same seeds on the same tasks, in work
directories under `--runs` (what is trained there already is used): short runs, so flags say steps,
tasks a step and filters where the recipes have more. All are judged on the same held-out tasks, by
the mean of the samples' probabilities, in three ways: after as many inner steps as the recipe has;
after as many as validation tasks find likeliest, for each learner and seed, since steps make
predictions surer, and averages of samples are less sure; and with the temperature of the
probabilities chosen with the steps, which asks what is left where sureness may be set afterwards.
Differences to MAML of the same seed are paired over tasks; intervals of the expected calibration
error are bootstraps over tasks. `--write` stores figures and reliability diagrams in
results/probabilistic_omniglot/.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.answers import Answers, answered, figures, joined
from tfmeta import recipe
from tfmeta.calibration import sampled_predictions
from tfmeta.experiment import restore, train
from tfmeta.learners.likelihood import Likelihood

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_NAMES = flags.DEFINE_list("learners", ["bfa"], "Beside MAML, in this order.")
_STEPS = flags.DEFINE_integer("steps", 1500, "Meta-steps of each learner.", 1)
_TASKS_PER_STEP = flags.DEFINE_integer("tasks_per_step", 8, "The recipes have 32.", 1)
_NETWORK = flags.DEFINE_enum("network", "conv4", ["conv4", "nonconv"], "The recipes' network.")
_FILTERS = flags.DEFINE_integer("filters", 32, "Of each of conv4's convolutions; recipes: 64.", 1)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of training: 0, 1, ...", 1)
_TASKS = flags.DEFINE_integer("tasks", 600, "Test tasks.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/.")
RESULTS = Path(__file__).parents[1] / "results" / "probabilistic_omniglot"

WAYS, SHOTS, INNER_STEPS = 5, 1, 3
CANDIDATES = (1, 3, 5, 10, 20)  # inner steps
TEMPERATURES = tuple(np.geomspace(0.5, 4.0, 25).round(3).tolist())  # 1.0 is one of them
TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS = 1_000_003, 2_000_003, 600


class Choice(NamedTuple):
    """How a learner answers."""

    inner_steps: int
    temperature: float = 1.0


def recipe_name(name: str) -> str:
    """A learner's recipe, without its ending."""
    return f"omniglot_5way_1shot_{name}" + ("_nonconv" if _NETWORK.value == "nonconv" else "")


def workdir(name: str, seed: int) -> Path:
    """Where a recipe's run is, or goes."""
    return Path(_RUNS.value) / f"{recipe_name(name)}_{_STEPS.value}steps_seed{seed}"


def trained(name: str, seed: int):
    """The learner of a recipe, trained if it is not yet."""
    params = [
        f"train.steps = {_STEPS.value}",
        f"train.seed = {seed}",
        f"train.tasks_per_step = {_TASKS_PER_STEP.value}",
        "evaluate.normalizations = ('transductive',)",
        "evaluate.calibration = True",
        "export.enabled = False",
        "run.intra_op_threads = 1",
    ]
    if _NETWORK.value == "conv4":
        params.append(f"conv4.filters = {_FILTERS.value}")
    place = workdir(name, seed)
    if not (place / "evaluation.json").is_file():
        train(recipe.read_recipe([f"{recipe_name(name)}.gin"], params), place)
    return restore(place)


def predicted(learner, split: str, seed: int, tasks: int, inner_steps: int):
    """(mean probabilities [tasks, Q, ways], targets [tasks, Q]) of held-out tasks."""
    episode = {"ways": WAYS, "shots": SHOTS, "queries": SHOTS}
    options = {"rotations": "random", "invert": True, "seed": seed}
    stream = tfmeta.tasks.omniglot(split, **episode, **options)
    likelihood = Likelihood.of(learner.loss_function.loss, 1.0)
    found = []
    for x, y in stream.batch(25).take(-(-tasks // 25)):
        samples = sampled_predictions(learner, likelihood, x, inner_steps).astype("float64")
        found.append((samples.mean(axis=1), y.numpy()))
    return tuple(np.concatenate(part)[:tasks] for part in zip(*found, strict=True))


def on_test_tasks(learner, choice: Choice) -> Answers:
    """What a learner says of the test tasks."""
    found = predicted(learner, "test", TEST_SEED, _TASKS.value, choice.inner_steps)
    return answered(*found, choice.temperature)


def choices(learner) -> dict:
    """The ways to answer by name: the recipe's, and those likeliest on validation tasks."""
    scores = {}
    for steps in CANDIDATES:
        found = predicted(learner, "validation", VALIDATION_SEED, VALIDATION_TASKS, steps)
        for temperature in TEMPERATURES:
            choice = Choice(steps, temperature)
            scores[choice] = answered(*found, temperature).likelihoods.mean()
    cold = [choice for choice in scores if choice.temperature == 1.0]
    return {
        "recipe": Choice(INNER_STEPS),
        "validated": max(cold, key=scores.get),
        "tempered": max(scores, key=scores.get),
    }


def write(found: dict, name: str) -> None:
    """Stores the figures so far, and the reliability diagram of a learner's first seed."""
    RESULTS.mkdir(exist_ok=True)
    prefix = "" if _NETWORK.value == "conv4" else f"{_NETWORK.value}_"
    path = RESULTS / f"{prefix}steps_{_STEPS.value}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shutil.copy(workdir(name, 0) / "calibration.png", RESULTS / f"{prefix}{name}_calibration.png")


def main(_):
    found = {
        "command": report.command("benchmarks.probabilistic_omniglot", sys.argv[1:]),
        "protocol": {
            "ways": WAYS,
            "shots": SHOTS,
            "queries": SHOTS,
            "normalization": "transductive",
            "network": _NETWORK.value,
            "filters": _FILTERS.value if _NETWORK.value == "conv4" else None,
            "steps": _STEPS.value,
            "tasks_per_step": _TASKS_PER_STEP.value,
            "seeds": _SEEDS.value,
            "checkpoint": "last",
            "inner_steps": {"recipe": INNER_STEPS, "validated": CANDIDATES, "tempered": CANDIDATES},
            "temperatures": {"tempered": TEMPERATURES},
            "validation_tasks": VALIDATION_TASKS,
            "test_tasks": _TASKS.value,
        },
        "learners": {},
    }
    maml = {}
    for name in ["maml", *_NAMES.value]:
        learners = [trained(name, seed) for seed in range(_SEEDS.value)]
        chosen = [choices(learner) for learner in learners]
        for kind in chosen[0]:
            ways = [each[kind] for each in chosen]
            own = [on_test_tasks(*pair) for pair in zip(learners, ways, strict=True)]
            maml.setdefault(kind, own)
            found["learners"].setdefault(name, {})[kind] = {
                **figures(joined(own), joined(maml[kind])),
                "by_seed": [
                    {**way._asdict(), **figures(a, b)}
                    for way, a, b in zip(ways, own, maml[kind], strict=True)
                ],
            }
        print(name, json.dumps(found["learners"][name]), flush=True)
        if _WRITE.value:
            write(found, name)


if __name__ == "__main__":
    app.run(main)
