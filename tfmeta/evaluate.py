"""`python -m tfmeta.evaluate`: measures a run; writes its result, a picture and a table."""

from pathlib import Path

from absl import flags

from tfmeta import commands
from tfmeta.runs import recipe, record

_DOC = """Evaluates a run and writes the result and its picture into the run's work directory.

The recipe's protocol is evaluation.json. Another protocol is written beside it under a name that
says what differs, such as evaluation-shots=3,inner_steps=2.json. No file is overwritten by the
result of another protocol, not even by a later checkpoint: the earlier result gets such a name
(evaluation-step=4000.json). evaluate.tasks_per_batch changes no result.

Example: python -m tfmeta.evaluate --workdir=runs/sinusoid --gin_param='evaluate.tasks = 2000'
"""


def main() -> int:
    """Restores the run and evaluates it."""
    values = flags.FLAGS
    if not values.workdir:
        raise recipe.RecipeError("An evaluation needs the --workdir of a run. Received: none.")
    workdir = Path(values.workdir)
    record.read_recipe(workdir)  # that there is no run is said at once
    record.adopt_environment(workdir)
    commands.import_tensorflow()
    from tfmeta import runs

    runs.evaluate(workdir, values.gin_param)
    return 0


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "The work directory of a run.")
    commands.define_recipe_params()


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
