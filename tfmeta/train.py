"""`python -m tfmeta.train`: trains a recipe, or goes on with a run; evaluates and exports it."""

from pathlib import Path

from absl import flags

from tfmeta import commands
from tfmeta.runs import recipe, record

_DOC = """Trains a recipe and writes a work directory; the same command again goes on.

Example: python -m tfmeta.train --gin_file=sinusoid_maml.gin --workdir=runs/sinusoid

"""


def main() -> int:
    """Reads the recipe and trains it."""
    values = flags.FLAGS
    if not values.gin_file:
        raise recipe.RecipeError(
            f"A run needs a recipe. Received: no --gin_file.\n{recipe.describe_recipes()}"
        )
    asked = recipe.read_recipe(values.gin_file, values.gin_param)
    if values.workdir == "":
        raise recipe.RecipeError(
            "--workdir must name a directory. Received: an empty text, as of an unset variable. "
            f"Leave it out for runs/{asked.name}."
        )
    workdir = Path(values.workdir or Path("runs") / asked.name)
    record.adopt_environment(workdir)
    commands.import_tensorflow()
    from tfmeta import runs

    return runs.train(asked, workdir, continue_anyway=values.continue_anyway)


def _define_flags() -> None:
    flags.DEFINE_multi_string("gin_file", [], "A recipe: a gin file, or the name of one below.")
    commands.define_recipe_params()
    flags.DEFINE_string("workdir", None, "Where everything goes. Default: runs/<recipe>.")
    flags.DEFINE_bool(
        "continue_anyway", False, "Go on though versions, threads or devices are others."
    )


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC + recipe.describe_recipes())
