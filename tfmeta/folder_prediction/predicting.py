"""Adapts a model to a folder of images and predicts other images: no training.

What `python -m tfmeta.adapt` does. The model is an exported directory, which says itself how its
images were prepared, or a learner in this process.
"""

import math
import pathlib

import numpy as np

from tfmeta.folder_prediction.models import ClassifierInProcess, ExportedClassifier
from tfmeta.folder_prediction.predictions import FolderPredictions
from tfmeta.tasks.brightness import Levels
from tfmeta.tasks.image_files import list_image_files
from tfmeta.tasks.image_folder import ImageFolder, load_image_folder

WHITE = 255


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
    return _predict(ExportedClassifier(export_dir), support, query, inner_steps)


def predict_folder_with(learner, support, query, inner_steps=None) -> FolderPredictions:
    """Adapts a learner to the images of one folder and predicts another's, in this process.

    An export of the learner gives the same answers.

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
    return _predict(ClassifierInProcess(learner), support, query, inner_steps)


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
    counts = np.bincount(np.asarray(support.labels), minlength=len(support.class_names))
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


def _on_one_scale(model, support, query, shape) -> tuple[ImageFolder, ImageFolder]:
    """Both folders' images; those of more than 8 bits have the model's black and white, or one."""
    trained = model.description["preprocessing"].get("levels")
    levels = Levels.of_json(trained) if trained else None

    def loaded(levels):
        return load_image_folder(support, shape, levels), load_image_folder(query, shape, levels)

    folders = loaded(levels)
    found = [folder.levels for folder in folders if folder.levels]
    if levels or not found or all(each == found[0] for each in found):
        return folders
    return loaded(found[0].joined(found[-1]))


def prepare(images, preprocessing) -> np.ndarray:
    """Pixels 0 .. 255 as the network was trained on them: float32 of the same shape."""
    scaled = images.astype(np.float32) * np.float32(preprocessing.get("scale", 1 / WHITE))
    if preprocessing.get("invert", False):
        scaled = np.float32(preprocessing.get("scale", 1 / WHITE) * WHITE) - scaled
    return scaled


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
