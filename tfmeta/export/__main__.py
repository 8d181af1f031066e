"""`python -m tfmeta.export`: writes a run's learner as a model that adapts by itself."""

from pathlib import Path

from absl import flags

from tfmeta import commands, recipe
from tfmeta.experiment import record

_DOC = """Exports a run as EXPORT_DIR/<version>/saved_model.pb, for TensorFlow Serving.

With --format=litert: as EXPORT_DIR/<version>/model.tflite, for phones, in fixed sizes.

Example: python -m tfmeta.export --workdir=runs/omniglot --export_dir=exported/omniglot
Phone: python -m tfmeta.export --workdir=runs/omniglot --export_dir=phone --format=litert
"""

_LITERT_OPTIONS = ("shots", "queries", "inner_steps", "tolerance")


def main() -> int:
    """Restores the run and exports it."""
    values = flags.FLAGS
    for name in ("workdir", "export_dir"):
        if not getattr(values, name):
            raise recipe.RecipeError(
                f"An export needs --workdir, of a run, and --export_dir. Received: no --{name}."
            )
    options = _litert_options(values)
    workdir = Path(values.workdir)
    record.adopt_environment(workdir)
    commands.import_tensorflow()
    from tfmeta import experiment

    run = (workdir, values.export_dir, values.normalization, values.gin_param)
    if values.format == "litert":
        experiment.export_litert(*run, **options)
    else:
        experiment.export(*run)
    return 0


def _litert_options(values) -> dict:
    """What only a LiteRT file has; a SavedModel takes any sizes."""
    options = {name: getattr(values, name) for name in _LITERT_OPTIONS}
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given and values.format != "litert":
        raise recipe.RecipeError(
            "Only a LiteRT file has fixed sizes and a tolerance. "
            f"Received: {', '.join(given)} with --format={values.format}. Add --format=litert."
        )
    return options


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "The work directory of a run.")
    flags.DEFINE_string("export_dir", None, "Where versions of the model go.")
    flags.DEFINE_enum(
        "normalization",
        None,
        ["transductive", "inductive", "running"],
        "Which statistics normalise a query; default: as trained.",
    )
    flags.DEFINE_enum(
        "format", "saved_model", ["saved_model", "litert"], "For a server, or for a phone."
    )
    flags.DEFINE_integer(
        "shots", None, "Of --format=litert: support examples a class; default: the recipe's.", 1
    )
    flags.DEFINE_integer(
        "queries", None, "Of --format=litert: query examples a class; default: the recipe's.", 1
    )
    flags.DEFINE_integer(
        "inner_steps", None, "Of --format=litert; default: the recipe's, for test tasks.", 0
    )
    flags.DEFINE_float(
        "tolerance",
        None,
        "Of --format=litert: greatest difference from the learner, of the largest output.",
        lower_bound=0.0,
    )
    commands.define_recipe_params()


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
