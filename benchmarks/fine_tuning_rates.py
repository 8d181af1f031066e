"""The inner rate and number of steps of a fine-tuning recipe, searched on validation tasks.

    python -m benchmarks.fine_tuning_rates --workdir=runs/omniglot_5way_1shot_finetuning [--write]

Fine-tunes the trained network of a run on the same validation tasks at several rates, all weights
and the head alone, and measures accuracy after each step (Ravi and Larochelle 2017 choose both
so). `--write` stores the figures in results/fine_tuning_rates.json.
"""

import json
from pathlib import Path

from absl import app, flags

import tfmeta
from benchmarks.report import ROOT
from tfmeta import evaluation
from tfmeta.experiment import building, opened

_WORKDIR = flags.DEFINE_string("workdir", None, "A run of a fine-tuning recipe.", required=True)
_TASKS = flags.DEFINE_integer("tasks", 100, "Validation tasks.", 2)
_WRITE = flags.DEFINE_bool("write", False, "Store results/fine_tuning_rates.json.")
RESULT = ROOT / "results" / "fine_tuning_rates.json"

STEPS = 20
RATES = {None: (0.001, 0.003, 0.01, 0.03), "head/*": (0.03, 0.1, 0.3)}


def tuned(learner, adapted, rate):
    """A learner of the same network that fine-tunes otherwise."""
    other = tfmeta.FineTuning(
        learner.network,
        learner.classes,
        rate,
        STEPS,
        adapted=adapted,
        normalization=learner.normalization,
    )
    other.compile("sgd", learner.loss)
    return other


def main(argv):
    del argv
    rows = []
    with opened(_WORKDIR.value) as run:
        stream = building.held_out_stream(run.settings, "validation", run.settings.validate.seed)
        for adapted, rates in RATES.items():
            for rate in rates:
                learner = tuned(run.learner, adapted, rate)
                found = evaluation.evaluate_learner(
                    learner, stream, _TASKS.value, inner_steps=STEPS
                )
                accuracy = found[learner.normalization][evaluation.ACCURACY]
                rows.append({"adapted": adapted or "all", "inner_rate": rate, **accuracy})
                best = max(range(STEPS + 1), key=lambda step: accuracy["mean"][step])
                print(rows[-1]["adapted"], rate, best, accuracy["mean"][best], flush=True)
        report = {
            "command": "python -m benchmarks.fine_tuning_rates --workdir=W --write",
            "run": Path(_WORKDIR.value).name,
            "step": run.step,
            "validation_tasks": _TASKS.value,
            "seed": run.settings.validate.seed,
            "accuracy_after_each_step": rows,
        }
    if _WRITE.value:
        RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
