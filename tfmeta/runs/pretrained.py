"""`--network`: a pretrained network with a head, in the place of a run or an exported model."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from absl import flags

from tfmeta.runs.recipe import RecipeError

HEADS = ("ridge", "prototypes", "linear")
NO_WEIGHTS = "none"


class Pretrained(NamedTuple):
    """A learner that needs no training.

    Attributes:
        learner: compiled; its images are RGB in [0, 1].
        metadata: what it was made of, for the export's metadata.
    """

    learner: object
    metadata: dict


def define_flags() -> None:
    """The flags --network, --head, --weights and --image_size."""
    flags.DEFINE_string(
        "network", None, "A network of keras.applications, e.g. MobileNetV3Small: no training."
    )
    flags.DEFINE_enum("head", "ridge", HEADS, "How the head of --network adapts.")
    flags.DEFINE_string(
        "weights",
        "imagenet",
        "Of --network: 'imagenet' (downloaded once), a *.weights.h5 file of the network without "
        "its classifier, or 'none' (random: for tests).",
    )
    flags.DEFINE_integer(
        "image_size", None, "Height and width of --network's images; default: the network's own."
    )


def from_flags(ways: int) -> Pretrained:
    """The learner that the flags ask for.

    Args:
        ways: the most classes of a task.

    Raises:
        ValueError: for a network that is not known, and weights that do not fit or could not be
            downloaded.
        FileNotFoundError: for weights that are missing.
    """
    import keras

    from tfmeta import networks
    from tfmeta.learners import head_learner

    values = flags.FLAGS
    if values.image_size is not None and values.image_size < 1:
        raise RecipeError(f"--image_size must be above 0. Received: {values.image_size}.")
    weights = None if values.weights == NO_WEIGHTS else values.weights
    if weights is None:
        keras.utils.set_random_seed(0)  # The same random weights in every process.
    try:
        backbone = networks.application(values.network, weights, values.image_size)
    except ConnectionError as error:
        raise RecipeError(f"{error} That is --weights=FILE or --weights=none.") from error
    network = networks.with_head(backbone, ways)
    learner = head_learner(network, values.head)
    if weights is None:
        print(f"{values.network} has random weights (--weights=none): its answers mean nothing.")
    return Pretrained(
        learner,
        {
            "network": values.network,
            "weights": _name_of(values.weights),
            "head": values.head,
            "image_size": network.input_shape[1],
        },
    )


def export(model: Pretrained, export_dir) -> Path:
    """Writes a new version of the SavedModel of a pretrained network; returns its directory.

    Args:
        model: of `from_flags`.
        export_dir: directory of the model's versions.
    """
    from tfmeta.runs.files import disk_errors
    from tfmeta.tasks.episodes import SCALE
    from tfmeta.tasks.image_folder import RESIZE_FILTER

    height, width, channels = model.learner.network.input_shape[1:]
    with disk_errors(export_dir, "--export_dir"):
        path = model.learner.export(
            export_dir,
            preprocessing={
                **{"height": height, "width": width, "channels": channels},
                **{"scale": SCALE, "invert": False, "resize": RESIZE_FILTER.name.lower()},
            },
            warmup_sizes=[(model.learner.ways, 1)],
            metadata=model.metadata,
        )
    return Path(path)


def _name_of(weights):
    """What tells weights apart: a name, or the hash of a file."""
    if weights in ("imagenet", NO_WEIGHTS):
        return weights
    return f"sha256:{hashlib.sha256(Path(weights).read_bytes()).hexdigest()}"
