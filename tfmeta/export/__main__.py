"""`python -m tfmeta.export`: writes a run's learner as a SavedModel that adapts by itself."""

from pathlib import Path

from absl import flags

from tfmeta import commands, recipe
from tfmeta.experiment import record

_DOC = """Exports a run as EXPORT_DIR/<version>/saved_model.pb, for TensorFlow Serving.

Example: python -m tfmeta.export --workdir=runs/omniglot --export_dir=exported/omniglot
"""


def main() -> int:
    """Restores the run and exports it."""
    values = flags.FLAGS
    for name in ("workdir", "export_dir"):
        if not getattr(values, name):
            raise recipe.RecipeError(
                f"An export needs --workdir, of a run, and --export_dir. Received: no --{name}."
            )
    workdir = Path(values.workdir)
    record.adopt_environment(workdir)
    commands.import_tensorflow()
    from tfmeta import experiment

    experiment.export(workdir, values.export_dir, values.normalization, values.gin_param)
    return 0


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "The work directory of a run.")
    flags.DEFINE_string("export_dir", None, "Where versions of the model go.")
    flags.DEFINE_enum(
        "normalization",
        None,
        ["transductive", "inductive", "running"],
        "Which statistics normalise a query; default: as trained.",
    )
    commands.define_recipe_params()


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
