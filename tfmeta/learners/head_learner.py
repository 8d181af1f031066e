"""The learner of a head on a pretrained network, ready to adapt without any training."""

from typing import Any, Unpack

import keras

from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.embedding.prototypical_network import PrototypicalNetwork
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.r2d2 import R2D2
from tfmeta.learners.unicorn_maml import UnicornMAML

# For features of the norm that `networks.with_head` gives them, chosen by the likelihood of queries
# of mini-ImageNet's validation classes under a pretrained MobileNetV3Small, 1 and 5 shots.
_HEADS: dict[str, tuple[type[MetaLearner], dict[str, Any]]] = {
    "linear": (UnicornMAML, {"inner_rate": 0.6, "inner_steps": 20}),
    "prototypes": (PrototypicalNetwork, {}),
    "ridge": (R2D2, {"regularization": 4.0, "scale": 12.0}),
}
HEADS = tuple(_HEADS)


class HeadOptions(LearnerOptions, total=False):
    """Arguments of the heads' learners; the class of a learner says what it takes."""

    inner_rate: Any
    inner_steps: int
    inner_optimizer: Any
    first_order: bool
    regularization: float
    scale: float


def head_learner(
    network: keras.Model, head: str = "ridge", **options: Unpack[HeadOptions]
) -> MetaLearner:
    """A compiled learner that adapts the head of a network of `tfmeta.networks.with_head`.

    With a frozen backbone `adapt` and `export` need no meta-training. `fit` improves the start of
    the head, and whatever else of the network is trainable.

    | head | learner | what adapts |
    |---|---|---|
    | "linear" | `UnicornMAML` | every trainable weight, by 20 gradient steps from a head of zeros |
    | "prototypes" | `PrototypicalNetwork` | the head, set to the mean features of each class |
    | "ridge" | `R2D2` | the head, set to a ridge regression of the labels |

    Low-rank updates, or layers that are not frozen, adapt with "linear" alone; the other heads
    leave them to `fit`.

    Example:
        >>> import keras, numpy as np, tfmeta
        >>> backbone = keras.applications.MobileNetV3Small(
        ...     input_shape=(32, 32, 3), minimalistic=True, include_top=False, weights=None)
        >>> learner = tfmeta.head_learner(tfmeta.networks.with_head(backbone, ways=8), "ridge")
        >>> photos = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
        >>> adapted = learner.adapt(photos, np.array([0, 0, 1, 1]))
        >>> adapted.predict(photos, verbose=0).shape
        (4, 8)

    Args:
        network: of `tfmeta.networks.with_head`, or any network that ends in a linear
            `keras.layers.Dense`.
        head: "linear", "prototypes" or "ridge".
        **options: of the learner, instead of the values that are chosen here. normalization is
            "running": batch normalisation uses its averages.

    Returns:
        The learner, compiled with Adam and the cross-entropy from logits.

    Raises:
        ValueError: for an unknown head, or a network that does not end in a linear dense layer.
    """
    if head not in _HEADS:
        raise ValueError(
            f"head must be one of {', '.join(map(repr, _HEADS))}. Received: {head!r}. Any other "
            "learner takes the network too: tfmeta.ProtoMAML(network, ...)."
        )
    learner, chosen = _HEADS[head]
    made = learner(network, **{"normalization": "running", **chosen, **options})
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    return made
