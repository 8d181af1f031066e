"""An exported directory, loaded again: by its path alone, without the learner that wrote it."""

import os
import pathlib

import tensorflow as tf

from tfmeta.saved_model.description import read_description
from tfmeta.saved_model.guards import broken_rule
from tfmeta.saved_model.version_directory import versions

MODEL_FILE = "saved_model.pb"


class ExportedModel:
    """The signatures and the description of one exported version.

    Example:

        model = ExportedModel("exported/glyphs")      # the newest version
        answer = model("adapt_and_predict", support_inputs=..., support_targets=..., ...)

    Args:
        export_dir: directory of versions, of which the newest is taken, or one version's.

    Attributes:
        path: the version's directory.
        description: what `assets.extra/tfmeta.json` says.

    Raises:
        FileNotFoundError: if there is no exported version.
    """

    def __init__(self, export_dir: str | os.PathLike):
        self.path = find_version(export_dir)
        self.description = read_description(self.path)
        self._model = tf.saved_model.load(str(self.path))

    def __call__(self, signature, **request) -> dict:
        """Asks a signature: arrays by name in, arrays by name out.

        Raises:
            ValueError: in the words of the guard that the request broke.
        """
        tensors = {name: tf.constant(value) for name, value in request.items()}
        try:
            answer = self._model.signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(broken_rule(error.message)) from error
        return {name: value.numpy() for name, value in answer.items()}


def find_version(export_dir) -> pathlib.Path:
    """The directory itself if it is a version, else the newest version in it."""
    export_dir = pathlib.Path(export_dir)
    advice = "Give a directory that learner.export or `python -m tfmeta.export` wrote."
    if not export_dir.is_dir():
        raise FileNotFoundError(
            f"The exported model must be a directory. Received: {export_dir}, which is "
            f"{'a file' if export_dir.exists() else 'not there'}. {advice}"
        )
    if (export_dir / MODEL_FILE).is_file():
        return export_dir
    found = [path for path in versions(export_dir).values() if (path / MODEL_FILE).is_file()]
    if not found:
        raise FileNotFoundError(
            f"An export has versions: directories named by a number, with {MODEL_FILE} in it. "
            f"Received: {export_dir}, which has none. {advice}"
        )
    return found[-1]
