"""The inner rate and number of steps of a fine-tuning recipe, searched on validation tasks.

    python -m benchmarks.fine_tuning_rates --workdir=runs/omniglot_5way_1shot_finetuning [--write]

Fine-tunes the trained network of a run on the same validation tasks at several rates, all weights
and the head alone, and measures accuracy after each step (Ravi and Larochelle 2017 choose both
so). `--write` stores the figures in results/fine_tuning_rates/, a file a recipe.
"""

import json
import sys

from absl import app, flags

import tfmeta
from benchmarks import report
from tfmeta import evaluation
from tfmeta.runs import building, opened

_WORKDIR = flags.DEFINE_string("workdir", None, "A run of a fine-tuning recipe.", required=True)
_TASKS = flags.DEFINE_integer("tasks", 100, "Validation tasks.", 2)
_STEPS = flags.DEFINE_integer("steps", 20, "Inner steps, at most.", 1)
_RATES = flags.DEFINE_list("rates", ["0.001", "0.003", "0.01", "0.03"], "Rates of all weights.")
_HEAD_RATES = flags.DEFINE_list("head_rates", ["0.03", "0.1", "0.3"], "Rates of the head alone.")
_WRITE = flags.DEFINE_bool("write", False, "Store the figures in results/fine_tuning_rates/.")
RESULTS = report.ROOT / "results" / "fine_tuning_rates"


def tuned(learner, adapted, rate):
    """A learner of the same network that fine-tunes otherwise."""
    other = tfmeta.FineTuning(
        learner.network,
        learner.classes,
        rate,
        _STEPS.value,
        adapted=adapted,
        normalization=learner.normalization,
        # As the run computes: all tasks of a batch at once may not fit into memory.
        parallel=learner.parallel,
        tasks_per_pass=learner.tasks_per_pass,
    )
    other.compile("sgd", learner.loss)
    return other


def searched(run) -> list[dict]:
    """A row a rate: accuracy after each step, on the same validation tasks."""
    rows = []
    stream = building.held_out_stream(run.settings, "validation", run.settings.validate.seed)
    for adapted, rates in {None: _RATES.value, "head/*": _HEAD_RATES.value}.items():
        for rate in map(float, rates):
            learner = tuned(run.learner, adapted, rate)
            found = evaluation.evaluate_learner(
                learner, stream, _TASKS.value, inner_steps=_STEPS.value
            )
            accuracy = found[learner.normalization][evaluation.ACCURACY]
            rows.append({"adapted": adapted or "all", "inner_rate": rate, **accuracy})
            best = max(range(_STEPS.value + 1), key=lambda step: accuracy["mean"][step])
            interval, diverged = accuracy["interval95"][best], accuracy["diverged"]
            print(
                f"{adapted or 'all'} at {rate}: {accuracy['mean'][best]:.4f} +- {interval:.4f} "
                f"after {best} steps, {diverged} diverged",
                flush=True,
            )
    return rows


def main(argv):
    del argv
    with opened(_WORKDIR.value) as run:
        document = {
            "command": report.command("benchmarks.fine_tuning_rates", sys.argv[1:]),
            "recipe": run.settings.recipe,
            "step": run.step,
            "validation_tasks": _TASKS.value,
            "seed": run.settings.validate.seed,
            "accuracy_after_each_step": searched(run),
        }
    if _WRITE.value:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{document['recipe']}.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
