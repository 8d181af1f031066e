"""`python -m tfmeta.presets`: lists learned initialisations, makes them of runs, exports them."""

from pathlib import Path

from absl import flags

from tfmeta import commands, presets
from tfmeta.runs.recipe import RecipeError

_DOC = """Learned initialisations by name ("presets"): lists, shows, makes and exports them.

Without flags, lists the presets that come with tfmeta. --preset=NAME, PATH or URL shows a preset's
card; with --export_dir too, writes a SavedModel of it for TensorFlow Serving. --workdir, of an
evaluated run, and --output=FILE.npz make a preset with its card FILE.md.

Examples: python -m tfmeta.presets --preset=omniglot_demo
python -m tfmeta.presets --workdir=runs/shops --output=presets/shops.npz --license=MIT
"""


def main() -> int:
    """Does what the flags ask for."""
    values = flags.FLAGS
    if values.preset and values.workdir:
        raise RecipeError(
            "--preset names a preset and --workdir makes one. Received: both. Leave one out."
        )
    with commands.as_recipe_errors():
        if values.workdir:
            return _make(values)
        if values.preset:
            return _show(values)
    return _list()


def _list() -> int:
    for name in presets.preset_names():
        preset = presets.open_preset(name)
        protocol = preset.info["evaluation"]["protocol"]
        print(f"{name}\n    {protocol['learner']} on {protocol['name']}, sha256 {preset.sha256}")
    return 0


def _show(values) -> int:
    presets.find_preset(values.preset, values.sha256)  # a wrong name is said at once
    if values.cached_export:
        commands.import_tensorflow()
        from tfmeta.runs.presets import cached_export

        print(cached_export(values.preset, values.sha256))
    elif values.export_dir:
        commands.import_tensorflow()
        from tfmeta.runs.presets import export_preset

        directory = export_preset(values.preset, values.export_dir, values.sha256)
        print(f"exported to {directory}")
    else:
        print(presets.card(presets.open_preset(values.preset, values.sha256)), end="")
    return 0


def _make(values) -> int:
    for name, what in (("output", "FILE.npz"), ("license", "the licence of the weights")):
        if not getattr(values, name):
            raise RecipeError(f"A preset needs --{name}, {what}. Received: none.")
    commands.import_tensorflow()
    from tfmeta.runs.presets import make_preset

    output = Path(values.output)
    preset = make_preset(
        values.workdir,
        output,
        license=values.license,
        name=values.name or output.stem,
        export_dir=values.weights_from,
        limits=values.limit,
    )
    page = output.with_suffix(".md")
    page.write_text(presets.card(preset), encoding="utf-8")
    print(f"written: {output}, {page}\nsha256 {preset.sha256}")
    return 0


def _define_flags() -> None:
    flags.DEFINE_string("preset", None, "A preset: a name, a path, or a URL with --sha256.")
    flags.DEFINE_string("sha256", None, "Hash of the preset's file; a URL needs it.")
    flags.DEFINE_string("export_dir", None, "Where versions of the exported preset go.")
    flags.DEFINE_bool("cached_export", False, "Export into the cache, and print the directory.")
    flags.DEFINE_string("workdir", None, "Work directory of an evaluated run, or what was kept.")
    flags.DEFINE_string("output", None, "The preset to make, FILE.npz.")
    flags.DEFINE_string("name", None, "Name of the preset to make. Default: that of the file.")
    flags.DEFINE_string("license", None, "Licence of the weights, such as MIT.")
    flags.DEFINE_string("weights_from", None, "A version of the run's export, for its weights.")
    flags.DEFINE_multi_string("limit", [], "A sentence for the card's limits; repeatable.")


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
