"""Adapts a model to a folder of images and predicts other images: no training.

What `python -m tfmeta.adapt` does. The model is an exported directory, which says itself how its
images were prepared, or a learner in this process.
"""

import csv
import dataclasses
import math
import pathlib

import numpy as np
import tensorflow as tf

from tfmeta.export import ExportedModel
from tfmeta.tasks.brightness import Levels
from tfmeta.tasks.image_files import list_image_files
from tfmeta.tasks.image_folder import ImageFolder, load_image_folder

TABLE_FILE = "predictions.csv"
PICTURE_FILE = "predictions.png"
MOST_PICTURES = 60  # queries drawn; the table has them all
WHITE = 255
IN_PROCESS_BATCH = 32  # queries at a time


@dataclasses.dataclass(frozen=True, eq=False)
class FolderPredictions:
    """What a model that was adapted to a folder says of other images.

    Attributes:
        class_names: the support folder's classes.
        file_names: of the Q query images.
        probabilities: float32 [Q, classes].
        images: uint8 [Q, height, width, channels], as read.
        labels: positions in `class_names` where the query folder says, else None.
        support_loss: float32 [inner_steps + 1].
        outlier_scores: float32 [Q], larger for an image of none of the classes; None where the
            export has no such output.
        outlier_threshold: above which an image counts as one of none of the classes; None where
            no threshold was measured for as many classes, images of each, and inner steps.
        outlier_note: for what else the model's threshold was measured; None where it holds, or
            there is none.
    """

    class_names: tuple
    file_names: tuple
    probabilities: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None
    support_loss: np.ndarray
    outlier_scores: np.ndarray | None = None
    outlier_threshold: float | None = None
    outlier_note: str | None = None

    @property
    def none_of_these(self) -> np.ndarray | None:
        """Whether each query counts as one of none of the classes; None where it is not known."""
        if self.outlier_scores is None or self.outlier_threshold is None:
            return None
        return self.outlier_scores > self.outlier_threshold

    @property
    def predicted(self) -> np.ndarray:
        """Position of the likeliest class of each query."""
        return self.probabilities.argmax(axis=-1)

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None where the query folder does not say the classes."""
        if self.labels is None or not len(self.labels):
            return None
        return float(np.mean(self.predicted == self.labels))


def predict_folder(export_dir, support, query, inner_steps=None) -> FolderPredictions:
    """Adapts an exported classifier to the images of one folder and predicts another's.

    Args:
        export_dir: directory of an export's versions, or one version.
        support: folder with a folder of images for each class.
        query: folder of images, or of folders named by classes of `support`.
        inner_steps: None for the model's own number.

    Returns:
        `FolderPredictions`.

    Raises:
        FileNotFoundError: if the model, a folder, or the images in it are missing.
        ValueError: if the model is no image classifier, or cannot take so many classes or images.
    """
    return _predict(_Exported(export_dir), support, query, inner_steps)


def predict_folder_with(learner, support, query, inner_steps=None) -> FolderPredictions:
    """Adapts a learner to the images of one folder and predicts another's, in this process.

    The answers are those of the learner's export.

    Args:
        learner: a compiled `MetaLearner` of a network of images [height, width, 1 or 3] in
            [0, 1].
        support: folder with a folder of images for each class.
        query: folder of images, or of folders named by classes of `support`.
        inner_steps: None for the learner's own number.

    Returns:
        `FolderPredictions`.

    Raises:
        FileNotFoundError: if a folder, or the images in it, are missing.
        ValueError: if the learner is no image classifier, or of fewer classes than the folder.
    """
    return _predict(_InProcess(learner), support, query, inner_steps)


def class_folders(path) -> tuple[str, ...]:
    """Names of the classes of a folder of images; empty for a flat folder."""
    return list_image_files(pathlib.Path(path).expanduser()).class_names


def _predict(model, support, query, inner_steps):
    shape = _image_shape(model)
    support, query = _on_one_scale(model, support, query, shape)
    _check_classes(model, support)
    labels = _labels_among(query, support.class_names)
    limit = model.description["limits"].get("max_support", math.inf)
    if len(support.images) > limit:
        raise ValueError(
            f"The model adapts to at most {limit} images. Received: {len(support.images)} in the "
            "support folder. Keep fewer of each class, or export with a higher max_support."
        )
    preprocessing = model.description["preprocessing"]
    logits, losses, scores = model.answers(
        prepare(support.images, preprocessing),
        _targets(model, support.labels),
        _parts(model, prepare(query.images, preprocessing)),
        inner_steps,
    )
    threshold, note = _threshold(model, support, inner_steps)
    return FolderPredictions(
        class_names=support.class_names,
        file_names=query.file_names,
        probabilities=_probabilities(model, logits, len(support.class_names)),
        images=query.images,
        labels=labels,
        support_loss=losses,
        outlier_scores=scores,
        outlier_threshold=threshold,
        outlier_note=note,
    )


def _threshold(model, support: ImageFolder, inner_steps) -> tuple[float | None, str | None]:
    """The model's threshold, where it was measured for such answers; else why it does not hold."""
    known = model.description.get("outliers") or {}
    threshold = known.get("threshold")
    if threshold is None:
        return None, None
    counts = np.bincount(support.labels, minlength=len(support.class_names))
    own_steps = model.description["inner_steps"]
    steps = own_steps if inner_steps is None else inner_steps
    measured_steps = own_steps if known.get("inner_steps") is None else known["inner_steps"]
    same = known.get("ways") == len(counts) and set(counts) == {known.get("shots")}
    if same and steps == measured_steps:
        return threshold, None
    return None, (
        f"The threshold of none of these was measured for {known.get('ways')} classes, "
        f"{known.get('shots')} images of each, and {measured_steps} inner steps. Received: "
        f"{len(counts)} classes, {' or '.join(map(str, sorted(set(counts))))} images of each, and "
        f"{steps} inner steps. It is left out."
    )


class _Exported:
    """An exported model, as `_predict` asks it."""

    def __init__(self, export_dir):
        self.model = ExportedModel(export_dir)
        self.description = self.model.description
        self.origin = self.model.path

    def answers(self, support_inputs, support_targets, query_parts, inner_steps):
        """What all parts of the queries get.

        Returns:
            Logits [Q, ...], support losses [inner_steps + 1], and outlier scores [Q] or None.
        """
        request = {"support_inputs": support_inputs, "support_targets": support_targets}
        signature = "adapt_and_predict"
        if inner_steps is not None:
            signature = "adapt_and_predict_with"
            request["inner_steps"] = np.array(inner_steps, np.int32)
            request["inner_rate_scale"] = np.array(1.0, np.float32)
        found = [self.model(signature, **request, query_inputs=part) for part in query_parts]
        joined = {
            name: np.concatenate([each[name] for each in found])
            for name in ("logits", "outlier_score")
            if name in found[0]
        }
        return joined["logits"], found[0]["support_loss"], joined.get("outlier_score")


class _InProcess:
    """A learner in this process, as `_predict` asks it: by the functions that it exports."""

    def __init__(self, learner):
        self.servable = learner.servable()
        self.origin = f"a learner of {learner.network.name!r}"
        self.description = {
            "kind": self.servable.kind,
            "inputs": {
                name.removeprefix("_") or "inputs": {"shape": list(spec.shape)}
                for name, spec in self.servable.named_inputs.items()
            },
            "output_shape": list(self.servable.output_shape),
            "target": self.servable.target,
            "ways": self.servable.ways,
            "normalization": self.servable.normalization,
            "inner_steps": self.servable.inner_steps,
            "outliers": self.servable.outliers,
            "preprocessing": {},
            "limits": {"max_query": IN_PROCESS_BATCH},
        }

    def answers(self, support_inputs, support_targets, query_parts, inner_steps):
        """What all parts of the queries get.

        Returns:
            Logits [Q, ...], support losses [inner_steps + 1], and outlier scores [Q] or None.
        """
        servable = self.servable
        steps = servable.inner_steps if inner_steps is None else inner_steps
        if steps < 0:
            raise ValueError(f"inner_steps must be 0 or more. Received: {steps}.")
        parameters = [tf.convert_to_tensor(v) for v in servable.parameters]
        state = [tf.convert_to_tensor(v) for v in servable.state]
        support = tf.constant(support_inputs, servable.dtype)
        targets = support_targets
        if servable.target != "sparse":
            targets = tf.constant(targets, servable.dtype)
        one = tf.ones([], servable.dtype)

        @tf.function(autograph=False)
        def adapt(parameters, support, targets, state):
            return servable.adapt(parameters, support, targets, tf.constant(steps), one, state)

        @tf.function(autograph=False, reduce_retracing=True)
        def outputs(weights, state, queries):
            held = support if servable.needs_support else None
            logits = servable.outputs(weights, state, queries, held)
            if servable.outlier_score is None:
                return [logits]
            return [logits, servable.outlier_score(weights, state, queries, held, logits)]

        weights, losses = adapt(parameters, support, targets, state)
        found = [outputs(weights, state, tf.constant(p, servable.dtype)) for p in query_parts]
        logits, *scores = (
            np.concatenate([part.numpy() for part in parts]) for parts in zip(*found, strict=True)
        )
        return logits, losses.numpy(), scores[0] if scores else None


def _on_one_scale(model, support, query, shape) -> tuple[ImageFolder, ImageFolder]:
    """Both folders' images; those of more than 8 bits have the model's black and white, or one."""
    trained = model.description["preprocessing"].get("levels")
    levels = Levels.of_json(trained) if trained else None
    folders = [load_image_folder(path, shape, levels) for path in (support, query)]
    found = [folder.levels for folder in folders if folder.levels]
    if levels or not found or all(each == found[0] for each in found):
        return tuple(folders)
    joined = found[0].joined(found[-1])
    return tuple(load_image_folder(path, shape, joined) for path in (support, query))


def prepare(images, preprocessing) -> np.ndarray:
    """Pixels 0 .. 255 as the network was trained on them: float32 of the same shape."""
    scaled = images.astype(np.float32) * np.float32(preprocessing.get("scale", 1 / WHITE))
    if preprocessing.get("invert", False):
        scaled = np.float32(preprocessing.get("scale", 1 / WHITE) * WHITE) - scaled
    return scaled


def write_table(predictions, path):
    """Writes a row a query: file, predicted class, its probability, all probabilities.

    Where the export has outlier scores they follow, and "yes" or "no" for whether the image is of
    none of the classes, as far as that is known.
    """
    names, scores = predictions.class_names, predictions.outlier_scores
    strange = predictions.none_of_these
    with open(path, "w", newline="", encoding="utf-8") as file:
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
        axes[index].set_title(
            f"{predictions.class_names[label]}\n{predictions.probabilities[index, label]:.0%}"
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


def _image_shape(model):
    inputs = model.description["inputs"]
    shape = inputs.get("inputs", {}).get("shape", [])
    classifier = model.description["kind"] == "classification"
    image = len(shape) == 3 and shape[2] in (1, 3) and None not in shape
    if not (classifier and image and len(model.description["output_shape"]) == 1):
        raise ValueError(
            "Adapting to a folder needs a classifier of images [height, width, 1 or 3]. Received: "
            f"a {model.description['kind']} model of {inputs} in {model.origin}. Export a "
            "classifier of images, or call the model's signatures with arrays."
        )
    return tuple(shape)


def _classes(model):
    """How many classes the model tells apart; one output with a sigmoid tells two."""
    ways = model.description["ways"]
    return 2 if model.description["target"] == "binary" and ways == 1 else ways


def _check_classes(model, support: ImageFolder):
    if not support.class_names:
        raise ValueError(
            "The support folder must hold a folder of images for each class. Received: images "
            f"without folders, e.g. {support.file_names[0]}. Move them into folders by class."
        )
    if len(support.class_names) > _classes(model):
        raise ValueError(
            f"The model tells at most {_classes(model)} classes apart. Received: "
            f"{len(support.class_names)} folders: {', '.join(support.class_names)}. Leave some "
            "out, or train and export a network with more ways."
        )


def _labels_among(query: ImageFolder, class_names):
    if not query.class_names:
        return None
    unknown = sorted(set(query.class_names) - set(class_names))
    if unknown:
        raise ValueError(
            "Folders in the query folder must be named as classes of the support folder "
            f"({', '.join(class_names)}). Received: {', '.join(unknown)}. Rename them, or put the "
            "query images into one folder without folders."
        )
    positions = [class_names.index(name) for name in query.class_names]
    return np.array(positions)[query.labels]


def _targets(model, labels):
    target = model.description["target"]
    if target == "sparse":
        return labels.astype(np.int32)
    if target == "binary" and model.description["ways"] == 1:
        return labels.astype(np.float32).reshape(-1, 1)
    return np.eye(model.description["ways"], dtype=np.float32)[labels]


def _probabilities(model, logits, classes):
    """Over the classes that the folder has: the model's others cannot be the answer."""
    if _classes(model) != model.description["ways"]:  # a sigmoid's logit is against 0
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    logits = logits[:, :classes].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def _parts(model, images):
    """The queries as requests can take them: all at once where answers depend on each other."""
    limit = model.description["limits"]["max_query"]
    if len(images) > limit and model.description["normalization"] == "transductive":
        raise ValueError(
            f"The model predicts at most {limit} images at once, and with transductive "
            f"normalisation an answer depends on the others. Received: {len(images)} query images. "
            "Predict fewer at a time, or export with a higher max_query."
        )
    return [images[first : first + limit] for first in range(0, len(images), limit)]


def _truth(predictions, index):
    """What a wrong answer should have been, where known."""
    if predictions.labels is None or predictions.labels[index] == predictions.predicted[index]:
        return ""
    return f", is {predictions.class_names[predictions.labels[index]]}"


def _strange(predictions, index):
    """What is said of an image that seems to be of none of the classes."""
    strange = predictions.none_of_these
    return "" if strange is None or not strange[index] else "\nnone of these?"


def _color(predictions, index):
    if predictions.labels is None:
        return "black"
    right = predictions.labels[index] == predictions.predicted[index]
    return "tab:green" if right else "tab:red"
