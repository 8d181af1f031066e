"""The table and the picture of what a model says of a folder's images."""

import csv
import math
import pathlib

TABLE_FILE = "predictions.csv"
PICTURE_FILE = "predictions.png"
MOST_PICTURES = 60  # queries drawn; the table has them all
WHITE = 255


def write_table(predictions, path):
    """Writes a row a query: file, predicted class, its probability, all probabilities.

    Where the export has outlier scores they follow, and "yes" or "no" for whether the image is of
    none of the classes, as far as that is known.
    """
    names, scores = predictions.class_names, predictions.outlier_scores
    strange = predictions.none_of_these
    # Names of files are bytes: what is not UTF-8 is written as it is.
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(
            [
                *("file", "predicted_class", "probability"),
                *(f"probability of {n}" for n in names),
                *(() if scores is None else ("outlier_score", "none_of_these")),
            ]
        )
        for index, (name, label, row) in enumerate(
            zip(
                *(predictions.file_names, predictions.predicted, predictions.probabilities),
                strict=True,
            )
        ):
            numbers = [f"{value:.6f}" for value in (row[label], *row)]
            if scores is not None:
                said = "" if strange is None else ("yes" if strange[index] else "no")
                numbers += [f"{scores[index]:.6f}", said]
            table.writerow([name, names[label], *numbers])


def readable(name) -> str:
    """A file's name as text that can be shown, whatever bytes it has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def draw(predictions, path):
    """Draws the queries with their answers; right ones green and wrong ones red, where known."""
    from matplotlib.figure import Figure

    shown = min(len(predictions.file_names), MOST_PICTURES)
    columns = max(1, min(8, math.ceil(math.sqrt(shown))))
    rows = max(1, math.ceil(shown / columns))
    figure = Figure(figsize=(1.7 * columns, 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for index in range(shown):
        label = predictions.predicted[index]
        image = predictions.images[index]
        axes[index].imshow(
            image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=WHITE
        )
        name = readable(predictions.class_names[label])
        axes[index].set_title(
            f"{name}\n{predictions.probabilities[index, label]:.0%}"
            f"{_truth(predictions, index)}{_strange(predictions, index)}",
            fontsize=9,
            color=_color(predictions, index),
            parse_math=False,
        )
    figure.savefig(path, dpi=100)


def save(predictions, output_dir) -> tuple:
    """Writes the table and the picture into a directory; returns their paths."""
    output_dir = pathlib.Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    table, picture = output_dir / TABLE_FILE, output_dir / PICTURE_FILE
    write_table(predictions, table)
    draw(predictions, picture)
    return table, picture


def _truth(predictions, index):
    """What a wrong answer should have been, where known."""
    if predictions.labels is None or predictions.labels[index] == predictions.predicted[index]:
        return ""
    return f", is {readable(predictions.class_names[predictions.labels[index]])}"


def _strange(predictions, index):
    """What is said of an image that seems to be of none of the classes."""
    strange = predictions.none_of_these
    return "" if strange is None or not strange[index] else "\nnone of these?"


def _color(predictions, index):
    if predictions.labels is None:
        return "black"
    right = predictions.labels[index] == predictions.predicted[index]
    return "tab:green" if right else "tab:red"
