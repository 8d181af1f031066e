"""Accuracy and calibration on Omniglot 5-way 1-shot: a learner that samples weights beside MAML.

    python -m benchmarks.probabilistic_omniglot [--runs=runs] [--learners=bfa] [--seeds=2] [--write]

Trains each learner's recipe for as many meta-steps, from the same seeds on the same tasks, in work
directories under `--runs` (what is trained there already is used): short runs of small networks,
so flags say steps, tasks a step and filters where the recipes have more. All are judged on the same
held-out tasks, by the mean of the samples' probabilities, after as many inner steps as the recipe
has, and after as many as validation tasks find likeliest, for each learner and seed: steps make
predictions surer, and averages of samples are less sure. Differences to MAML of the same seed are
paired over tasks; intervals of the expected calibration error are bootstraps over tasks. `--write`
stores figures and reliability diagrams in results/probabilistic_omniglot/.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

import tfmeta
from benchmarks import report
from benchmarks.answers import Answers, figures, joined
from tfmeta import recipe
from tfmeta.calibration import sampled_predictions
from tfmeta.experiment import restore, train
from tfmeta.learners.likelihood import Likelihood

_RUNS = flags.DEFINE_string("runs", "runs", "Where the work directories are, or go.")
_NAMES = flags.DEFINE_list("learners", ["bfa"], "Beside MAML, in this order.")
_STEPS = flags.DEFINE_integer("steps", 1500, "Meta-steps of each learner.", 1)
_TASKS_PER_STEP = flags.DEFINE_integer("tasks_per_step", 8, "The recipes have 32.", 1)
_FILTERS = flags.DEFINE_integer("filters", 32, "Of each convolution; the recipes have 64.", 1)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of training: 0, 1, ...", 1)
_TASKS = flags.DEFINE_integer("tasks", 600, "Test tasks.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/.")
RESULTS = Path(__file__).parents[1] / "results" / "probabilistic_omniglot"

WAYS, SHOTS, INNER_STEPS = 5, 1, 3
CANDIDATES = (1, 3, 5, 10, 20)  # inner steps
TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS = 1_000_003, 2_000_003, 200
_LEAST = 1e-12  # of a probability, so that one certain error is not infinite


def workdir(name: str, seed: int) -> Path:
    """Where a recipe's run is, or goes."""
    return Path(_RUNS.value) / f"omniglot_{name}_{_STEPS.value}steps_seed{seed}"


def trained(name: str, seed: int):
    """The learner of a recipe, trained if it is not yet."""
    params = [
        f"train.steps = {_STEPS.value}",
        f"train.seed = {seed}",
        f"train.tasks_per_step = {_TASKS_PER_STEP.value}",
        f"conv4.filters = {_FILTERS.value}",
        "evaluate.normalizations = ('transductive',)",
        "evaluate.calibration = True",
        "export.enabled = False",
    ]
    place = workdir(name, seed)
    if not (place / "evaluation.json").is_file():
        train(recipe.read_recipe([f"omniglot_5way_1shot_{name}.gin"], params), place)
    return restore(place)


def answers(learner, split: str, seed: int, tasks: int, inner_steps: int) -> Answers:
    """What a learner says of held-out tasks, the same for all."""
    episode = {"ways": WAYS, "shots": SHOTS, "queries": SHOTS}
    options = {"rotations": "random", "invert": True, "seed": seed}
    stream = tfmeta.tasks.omniglot(split, **episode, **options)
    likelihood = Likelihood.of(learner.loss_function.loss, 1.0)
    found = []
    for x, y in stream.batch(25).take(-(-tasks // 25)):
        samples = sampled_predictions(learner, likelihood, x, inner_steps).astype("float64")
        mean, targets = samples.mean(axis=1), y.numpy()
        chosen = np.take_along_axis(mean, targets[..., None], axis=-1)[..., 0]
        logs = np.log(np.maximum(chosen, _LEAST))
        found.append((mean.max(axis=-1), mean.argmax(axis=-1) == targets, logs))
    return Answers(*(np.concatenate(part)[:tasks] for part in zip(*found, strict=True)))


def on_test_tasks(learner, inner_steps: int) -> Answers:
    """What a learner says of the test tasks."""
    return answers(learner, "test", TEST_SEED, _TASKS.value, inner_steps)


def best_inner_steps(learner) -> int:
    """The number of inner steps of the greatest likelihood on validation tasks."""

    def likelihood(steps):
        found = answers(learner, "validation", VALIDATION_SEED, VALIDATION_TASKS, steps)
        return found.likelihoods.mean()

    return max(CANDIDATES, key=likelihood)


def write(found: dict, name: str) -> None:
    """Stores the figures so far, and the reliability diagram of a learner's first seed."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"steps_{_STEPS.value}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shutil.copy(workdir(name, 0) / "calibration.png", RESULTS / f"{name}_calibration.png")


def main(_):
    found = {
        "command": report.command("benchmarks.probabilistic_omniglot", sys.argv[1:]),
        "protocol": {
            "ways": WAYS,
            "shots": SHOTS,
            "queries": SHOTS,
            "normalization": "transductive",
            "filters": _FILTERS.value,
            "steps": _STEPS.value,
            "tasks_per_step": _TASKS_PER_STEP.value,
            "seeds": _SEEDS.value,
            "checkpoint": "last",
            "inner_steps": {"recipe": INNER_STEPS, "validated": CANDIDATES},
            "validation_tasks": VALIDATION_TASKS,
            "test_tasks": _TASKS.value,
        },
        "learners": {},
    }
    maml = {}
    for name in ["maml", *_NAMES.value]:
        learners = [trained(name, seed) for seed in range(_SEEDS.value)]
        best = [best_inner_steps(learner) for learner in learners]
        for kind, steps in (("recipe", [INNER_STEPS] * len(best)), ("validated", best)):
            own = [on_test_tasks(*pair) for pair in zip(learners, steps, strict=True)]
            maml.setdefault(kind, own)
            pairs = zip(steps, own, maml[kind], strict=True)
            found["learners"].setdefault(name, {})[kind] = {
                **figures(joined(own), joined(maml[kind])),
                "by_seed": [{"inner_steps": n, **figures(a, b)} for n, a, b in pairs],
            }
        print(name, json.dumps(found["learners"][name]), flush=True)
        if _WRITE.value:
            write(found, name)


if __name__ == "__main__":
    app.run(main)
