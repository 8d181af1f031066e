"""What an adapted model says of the images of a folder."""

import dataclasses

import numpy as np


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
