"""`python -m tfmeta.adapt`: adapts an exported model to a folder of images, predicts another."""

from absl import flags

from tfmeta import commands, presets
from tfmeta.runs import pretrained, recipe

_DOC = """Adapts a model to your own images and predicts others: no training.

--support is a folder with a folder of images for each class; --query is a folder of images, or of
folders named by those classes (then the accuracy is printed too). Writes predictions.csv and
predictions.png. The column outlier_score is larger for an image of none of the classes; where the
export has a threshold for as many classes, images of each and inner steps, none_of_these says yes
or no.

The model is an export (--export_dir), a learned initialisation by name, path or URL (--preset), or
a pretrained network of keras.applications with a head (--network).

Example: python -m tfmeta.adapt --export_dir=exported/omniglot --support=letters --query=scans
Without a training: python -m tfmeta.adapt --preset=omniglot_demo --support=letters --query=scans
Photos: python -m tfmeta.adapt --network=MobileNetV3Small --support=photos --query=new_photos
"""


def main() -> int:
    """Predicts the query folder and says where the answers are."""
    values = flags.FLAGS
    models = [name for name in ("export_dir", "preset", "network") if getattr(values, name)]
    given = {"export_dir": models, **_folders(values)}
    for name, value in given.items():
        if not value:
            raise recipe.RecipeError(
                "Adapting needs --export_dir, of an exported model, or --preset, or --network, "
                f"and the folders --support and --query. Received: no --{name}. See --help."
            )
    if len(models) > 1:
        raise recipe.RecipeError(
            f"{' and '.join(f'--{name}' for name in models)} each name a model. Received: "
            f"{'both' if len(models) == 2 else 'all'}. Leave all but one out."
        )
    if values.preset:
        with commands.as_recipe_errors():
            presets.find_preset(values.preset, values.sha256)  # a wrong name is said at once
    commands.import_tensorflow()
    from tfmeta import folder_prediction

    with commands.as_recipe_errors():
        asked = (values.support, values.query, values.inner_steps)
        if values.network:
            ways = max(2, len(folder_prediction.class_folders(values.support)))
            model = pretrained.from_flags(ways)
            predictions = folder_prediction.predict_folder_with(model.learner, *asked)
        else:
            predictions = folder_prediction.predict_folder(_export_dir(values), *asked)
        table, picture = folder_prediction.save(predictions, values.output_dir)
    losses = predictions.support_loss
    names = map(folder_prediction.readable, predictions.class_names)
    print(f"adapted to {', '.join(names)}")
    print(f"support loss {losses[0]:.4f} -> {losses[-1]:.4f} in {len(losses) - 1} inner steps")
    print(f"{len(predictions.file_names)} images predicted: {table}, {picture}")
    strange = predictions.none_of_these
    if strange is not None:
        print(f"{strange.sum()} of {len(strange)} images seem to be of none of these classes")
    if predictions.outlier_note:
        print(predictions.outlier_note)
    if predictions.accuracy is not None:
        print(f"accuracy {predictions.accuracy:.1%}")
    return 0


def _folders(values) -> dict:
    return {"support": values.support, "query": values.query}


def _export_dir(values):
    """The exported model, which is made of a preset the first time."""
    if not values.preset:
        return values.export_dir
    from tfmeta.runs.presets import cached_export

    return cached_export(values.preset, values.sha256)


def _define_flags() -> None:
    flags.DEFINE_string("export_dir", None, "An exported model; the newest version is taken.")
    flags.DEFINE_string("preset", None, "A preset: a name, a path, or a URL with --sha256.")
    flags.DEFINE_string("sha256", None, "Hash of the preset's file; a URL needs it.")
    pretrained.define_flags()
    flags.DEFINE_string("support", None, "Folder with a folder of images for each class.")
    flags.DEFINE_string("query", None, "Folder of the images to predict.")
    flags.DEFINE_string("output_dir", ".", "Where predictions.csv and predictions.png go.")
    flags.DEFINE_integer("inner_steps", None, "Inner steps; default: the model's own.")


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
