"""`python -m tfmeta.adapt`: adapts an exported model to a folder of images, predicts another."""

from absl import flags

from tfmeta import commands, recipe

_DOC = """Adapts an exported model to your own images and predicts others: no training.

--support is a folder with a folder of images for each class; --query is a folder of images, or of
folders named by those classes (then the accuracy is printed too). Writes predictions.csv and
predictions.png.

Example: python -m tfmeta.adapt --export_dir=exported/omniglot --support=letters --query=scans
"""


def main() -> int:
    """Predicts the query folder and says where the answers are."""
    values = flags.FLAGS
    for name in ("export_dir", "support", "query"):
        if not getattr(values, name):
            raise recipe.RecipeError(
                "Adapting needs --export_dir, of an exported model, and the folders --support and "
                f"--query. Received: no --{name}. See --help."
            )
    commands.import_tensorflow()
    from tfmeta import folder_prediction

    try:
        predictions = folder_prediction.predict_folder(
            values.export_dir, values.support, values.query, values.inner_steps
        )
    except ValueError as error:
        raise recipe.RecipeError(str(error)) from error
    table, picture = folder_prediction.save(predictions, values.output_dir)
    losses = predictions.support_loss
    print(f"adapted to {', '.join(predictions.class_names)}")
    print(f"support loss {losses[0]:.4f} -> {losses[-1]:.4f} in {len(losses) - 1} inner steps")
    print(f"{len(predictions.file_names)} images predicted: {table}, {picture}")
    if predictions.accuracy is not None:
        print(f"accuracy {predictions.accuracy:.1%}")
    return 0


def _define_flags() -> None:
    flags.DEFINE_string("export_dir", None, "An exported model; the newest version is taken.")
    flags.DEFINE_string("support", None, "Folder with a folder of images for each class.")
    flags.DEFINE_string("query", None, "Folder of the images to predict.")
    flags.DEFINE_string("output_dir", ".", "Where predictions.csv and predictions.png go.")
    flags.DEFINE_integer("inner_steps", None, "Inner steps; default: the model's own.")


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
