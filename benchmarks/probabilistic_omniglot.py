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
LLAMA is taken without its determinant (eta = 0): its meta-gradient is then MAML's, so its weights
are those of MAML's run, and validation tasks choose its prior precision as well, in all three ways.
Differences to MAML of the same seed are paired over tasks; intervals of the expected calibration
error are bootstraps over tasks. `--write` stores figures and reliability diagrams in
results/probabilistic_omniglot/.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.answers import Answers, answered, figures, joined
from benchmarks.whole_runs import train_whole
from tfmeta.evaluation.calibration import sampled_predictions
from tfmeta.inner.likelihood import Likelihood
from tfmeta.runs import pictures, restore

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
CANDIDATES = (1, 3, 10)  # inner steps
TEMPERATURES = tuple(np.geomspace(0.5, 4.0, 25).round(3).tolist())  # 1.0 is one of them
LAPLACE_SAMPLES = 10
TASKS_PER_BATCH = 10  # many weights a task
PRECISIONS = (300.0, 1000.0, 3000.0, 10_000.0)  # of LLAMA's prior
TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS = 1_000_003, 2_000_003, 200


class Choice(NamedTuple):
    """How a learner answers."""

    inner_steps: int
    temperature: float = 1.0
    prior_precision: float | None = None


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
    train_whole(f"{recipe_name(name)}.gin", params, place)
    return restore(place)


def laplace(maml, precision: float):
    """LLAMA of the weights of MAML, whose meta-gradient it has at eta = 0."""
    options = {**maml.get_config(), "network": maml.network}
    for name in ("first_order", "inner_optimizer", "inner_loss"):
        options.pop(name)
    options |= {"curvature": "full", "determinant_weight": 0.0, "samples": LAPLACE_SAMPLES}
    learner = tfmeta.LLAMA(**options, prior_precision=precision)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return learner


def variants(name: str, seed: int) -> dict:
    """The learners of one training by the prior precision of each, None where there is no such."""
    if name == "llama":
        maml = trained("maml", seed)
        return {precision: laplace(maml, precision) for precision in PRECISIONS}
    return {None: trained(name, seed)}


def predicted(learner, split: str, seed: int, tasks: int, inner_steps: int):
    """(mean probabilities [tasks, Q, ways], targets [tasks, Q]) of held-out tasks."""
    episode = {"ways": WAYS, "shots": SHOTS, "queries": SHOTS}
    options = {"rotations": "random", "invert": True, "seed": seed}
    stream = tfmeta.tasks.omniglot(split, **episode, **options)
    likelihood = Likelihood.of(learner.loss_function.loss, 1.0)
    found = []
    for x, y in stream.batch(TASKS_PER_BATCH).take(-(-tasks // TASKS_PER_BATCH)):
        samples = sampled_predictions(learner, likelihood, x, inner_steps).astype("float64")
        found.append((samples.mean(axis=1), y.numpy()))
    return tuple(np.concatenate(part)[:tasks] for part in zip(*found, strict=True))


def on_test_tasks(learners: dict, choice: Choice) -> Answers:
    """What a learner says of the test tasks."""
    learner = learners[choice.prior_precision]
    found = predicted(learner, "test", TEST_SEED, _TASKS.value, choice.inner_steps)
    return answered(*found, choice.temperature)


def choices(learners: dict) -> dict:
    """The ways to answer by name, each the likeliest on validation tasks of those it may be."""
    scores = {}
    for precision, learner in learners.items():
        for steps in CANDIDATES:
            found = predicted(learner, "validation", VALIDATION_SEED, VALIDATION_TASKS, steps)
            for temperature in TEMPERATURES:
                choice = Choice(steps, temperature, precision)
                scores[choice] = answered(*found, temperature).likelihoods.mean()
    cold = [choice for choice in scores if choice.temperature == 1.0]
    ways = {
        "recipe": [choice for choice in cold if choice.inner_steps == INNER_STEPS],
        "validated": cold,
        "tempered": list(scores),
    }
    return {kind: max(allowed, key=scores.get) for kind, allowed in ways.items()}


def write(found: dict, name: str) -> None:
    """Stores the figures so far, and a learner's reliability diagram at the recipe's steps."""
    RESULTS.mkdir(exist_ok=True)
    prefix = "" if _NETWORK.value == "conv4" else f"{_NETWORK.value}_"
    path = RESULTS / f"{prefix}steps_{_STEPS.value}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    own = found["learners"][name]["recipe"]
    drawn = {"bins": own["bins"], "calibration_error": own["calibration_error"]["value"]}
    protocol = {"learner": name.upper(), "tasks": _TASKS.value, "split": "test"}
    place = RESULTS / f"{prefix}{name}_calibration.png"
    pictures.calibration({"calibration": drawn, "protocol": protocol}, place)


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
            "prior_precisions": {"llama": PRECISIONS},
            "validation_tasks": VALIDATION_TASKS,
            "test_tasks": _TASKS.value,
        },
        "learners": {},
    }
    maml = {}
    for name in ["maml", *_NAMES.value]:
        learners = [variants(name, seed) for seed in range(_SEEDS.value)]
        chosen = [choices(each) for each in learners]
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
