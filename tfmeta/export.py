"""`python -m tfmeta.export`: writes a learner as a model that adapts by itself."""

import warnings
from pathlib import Path
from typing import Any

from absl import flags

from tfmeta import commands
from tfmeta.runs import pretrained, recipe, record

_DOC = """Exports a model as EXPORT_DIR/<version>/saved_model.pb, for TensorFlow Serving.

The model is that of a run (--workdir), or a pretrained network of keras.applications (--network)
with a head, which needs no training.

With --format=litert: as EXPORT_DIR/<version>/model.tflite, for phones, in fixed sizes.

Example: python -m tfmeta.export --workdir=runs/omniglot --export_dir=exported/omniglot
Phone: python -m tfmeta.export --workdir=runs/omniglot --export_dir=phone --format=litert
Photos: python -m tfmeta.export --network=MobileNetV3Small --ways=8 --export_dir=exported/photos
"""

_LITERT_OPTIONS = ("shots", "queries", "inner_steps", "tolerance")


def main() -> int:
    """Exports the run, or the pretrained network."""
    values = flags.FLAGS
    for name, value in (
        ("workdir", values.workdir or values.network),
        ("export_dir", values.export_dir),
    ):
        if not value:
            raise recipe.RecipeError(
                "An export needs --workdir, of a run, or --network, and --export_dir. "
                f"Received: no --{name}."
            )
    if values.workdir and values.network:
        raise recipe.RecipeError(
            "--workdir and --network both name a model. Received: both. Leave one out."
        )
    if values.network:
        return _export_pretrained(values)
    options = _litert_options(values)
    workdir = Path(values.workdir)
    record.read_recipe(workdir)  # that there is no run is said at once
    record.adopt_environment(workdir)
    commands.import_tensorflow()
    from tfmeta import runs

    run = (workdir, values.export_dir, values.normalization, values.gin_param)
    if values.format == "litert":
        runs.export_litert(*run, **options)
    else:
        runs.export(*run)
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


def _export_pretrained(values) -> int:
    given = [
        name
        for name in ("normalization", "gin_param", *_LITERT_OPTIONS)
        if flags.FLAGS[name].present
    ]
    if given or values.format == "litert":
        raise recipe.RecipeError(
            "A pretrained network is exported as a SavedModel, with its own normalisation. "
            f"Received: --{given[0] if given else 'format=litert'} with --network. Leave it out."
        )
    commands.import_tensorflow()
    with commands.as_recipe_errors():
        path = pretrained.export(pretrained.from_flags(values.ways), values.export_dir)
    print(f"exported to {path}")
    return 0


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "The work directory of a run.")
    pretrained.define_flags()
    flags.DEFINE_integer("ways", 20, "Of --network: the most classes of a request.", lower_bound=2)
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


def __getattr__(name: str) -> Any:
    """The names of `tfmeta.saved_model`, whose earlier place this is, for one release."""
    from tfmeta import saved_model

    if name not in saved_model.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"tfmeta.export.{name} is tfmeta.saved_model.{name} now, and goes in the next release.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(saved_model, name)


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
