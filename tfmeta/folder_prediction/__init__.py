"""Adapting a model to a folder of images, and predicting other images, without training."""

from tfmeta.folder_prediction.predicting import (
    class_folders,
    predict_folder,
    predict_folder_with,
)
from tfmeta.folder_prediction.predictions import FolderPredictions
from tfmeta.folder_prediction.report import readable, save

__all__ = [
    "FolderPredictions",
    "class_folders",
    "predict_folder",
    "predict_folder_with",
    "readable",
    "save",
]
