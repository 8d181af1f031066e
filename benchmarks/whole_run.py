"""What a run costs beside its meta-steps: tasks, metrics, checkpoints, summaries, progress lines.

    python -m benchmarks.whole_run [--recipes=...] [--write]

In turns, on the same recipe: the compiled loop of meta-steps on one batch that stays in memory,
and `python -m tfmeta.train` with the recipe's own tasks, logs and checkpoints, timed by the times
of its TensorBoard events, so from its first row to its last. Other programs only ever add to a
time, by more than what is looked for here, so the fastest turns of both are compared too.
`--write` stores results/benchmarks/whole_run.json.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import report
from benchmarks.turns import ROOT
from tfmeta.runs import building, recipe
from tfmeta.runs.choices import choose
from tfmeta.runs.recipe import config

# Recipes, with a number of steps that takes some 20 seconds.
STEPS = {
    "sinusoid_maml.gin": 16000,
    "sinusoid_reptile.gin": 30000,
    "omniglot_5way_1shot_maml.gin": 400,
    "omniglot_5way_1shot_fomaml.gin": 400,
    "omniglot_5way_1shot_reptile.gin": 400,
    "omniglot_5way_1shot_imaml.gin": 60,
    "omniglot_5way_1shot_prototypical.gin": 400,
    "omniglot_5way_1shot_matching.gin": 400,
    "omniglot_5way_1shot_finetuning.gin": 1200,
    "omniglot_20way_1shot_maml.gin": 40,
    "mini_imagenet_5way_1shot_maml.gin": 20,
    "mini_imagenet_5way_1shot_finetuning.gin": 100,
    "rl_navigation_maml.gin": 8,
}
ROWS = 4  # of metrics.csv in a run; the recipe's own interval where that is shorter

_RECIPES = flags.DEFINE_list("recipes", list(STEPS), "Which recipes.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", 1)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")


class BareLoop:
    """The compiled loop of a recipe's meta-steps on one batch."""

    def __init__(self, name):
        # The whole recipe, whose length says what a trial of ways may cost.
        with config.configured(recipe.read_recipe([name], [])) as settings:
            # As `tfmeta.train` does.
            building.set_threads(settings.run.intra_op_threads)
            building.set_determinism(settings.run.deterministic)
            strategy = building.make_strategy(None)
            stream = building.train_stream(settings)
            self._training, way, _ = choose(settings, strategy)
            self._training.start(lambda first: _Repeated(stream))
        # The run would choose for itself, among ways that take about as long as each other.
        self.way = [
            f"run.jit_compile = {way.jit_compile}",
            f"{type(self._training.learner).__name__}.parallel = '{way.parallel}'",
        ]
        self._training.advance(2)

    def seconds_per_step(self, steps) -> float:
        """Seconds a step, over so many."""
        began = time.perf_counter()
        self._training.advance(steps)
        return (time.perf_counter() - began) / steps


class _Repeated:
    """Gives the first batch of a stream again and again."""

    def __init__(self, stream):
        self._stream = stream

    def batch_parts(self, tasks, parts, own):
        return self._stream.batch_parts(tasks, parts, own).take(len(own)).cache().repeat()


def bindings(name, steps):
    """The recipe, shorter, with rows often enough to time by; all else is its own."""
    length = "steps" if "reptile" in name else "train.steps"
    with config.configured(recipe.read_recipe([name], [])) as settings:
        every = min(settings.log.every, steps // ROWS)
    return [
        f"{length} = {steps}",
        f"log.every = {every}",
        "validate.every = 0",  # It is a choice of the recipe's, not what a run costs anyway.
        "evaluate.checkpoint = 'last'",
        "evaluate.tasks = 2",
    ]


def whole_run(name, steps, way) -> float:
    """Seconds a step of `tfmeta.train`, from its first row to its last, with bindings more."""
    with tempfile.TemporaryDirectory() as folder:
        flags_ = [f"--gin_param={line}" for line in [*bindings(name, steps), *way]]
        subprocess.run(
            [
                *(sys.executable, "-m", "tfmeta.train", f"--gin_file={name}"),
                *(f"--workdir={folder}/run", *flags_),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        times = {}
        for path in sorted(pathlib.Path(folder, "run", "events").glob("*.tfevents.*")):
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                if any(value.tag == "tasks_per_second" for value in event.summary.value):
                    times[event.step] = event.wall_time
    first, last = min(times), max(times)
    return (times[last] - times[first]) / (last - first)


def measure(name) -> dict:
    """Both in turns, and what the run adds, round by round."""
    steps = STEPS[name]
    bare, rows = BareLoop(name), []
    for _ in range(_ROUNDS.value):
        before = bare.seconds_per_step(steps // 2)
        run = whole_run(name, steps, bare.way)
        rows.append((run, (before + bare.seconds_per_step(steps // 2)) / 2))
    added = [run / step - 1 for run, step in rows]
    return {
        "way": bare.way,
        "seconds_per_step_of_the_run": [round(run, 6) for run, _ in rows],
        "seconds_per_step_bare": [round(step, 6) for _, step in rows],
        "added_median": round(float(np.median(added)), 4),
        "added_of_the_fastest": round(min(r for r, _ in rows) / min(s for _, s in rows) - 1, 4),
        "added": [round(value, 4) for value in added],
    }


def main(_):
    names = _RECIPES.value
    if len(names) > 1:  # in a process each, as a process has the threads of its first recipe
        flags_ = [f"--rounds={_ROUNDS.value}", *["--write"] * _WRITE.value]
        for name in names:
            command = [sys.executable, "-m", "benchmarks.whole_run", f"--recipes={name}", *flags_]
            subprocess.run(command, check=True, cwd=ROOT)
        return
    row = measure(names[0])
    print(names[0], json.dumps(row), flush=True)
    if _WRITE.value:
        report.keep_recipe("whole_run", names[0], row)


if __name__ == "__main__":
    app.run(main)
