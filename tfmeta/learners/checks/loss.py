"""What a learner refuses of a loss."""

import warnings

import keras
import numpy as np


def check_loss(loss):
    """Raises a ValueError unless there is exactly one loss."""
    if loss is None or isinstance(loss, (list, tuple, dict)):
        raise ValueError(
            "A learner needs one loss, of its network's one output. "
            f"Received: loss={loss!r}. Pass a Keras loss, its name, or a function."
        )


def check_likelihood(learner, loss_function):
    """Refuses what makes a loss another than the negative log-likelihood that is descended.

    Args:
        learner: name of the learner's class.
        loss_function: `inner.SetLoss`.
    """
    loss, kind = loss_function.loss, loss_function.kind
    for what, value, usual in (
        ("label_smoothing", kind.label_smoothing, 0.0),
        ("reduction", loss.reduction if loss_function.sums else None, None),
        ("loss_weights", loss_function.factor, 1.0),
        ("loss", loss.name if _redefines(loss) else None, None),
    ):
        if value != usual:
            raise ValueError(
                f"{learner} descends the likelihood that a loss stands for, a mean over queries. "
                f"Received: {what}={value!r}. Leave it out, or take tfmeta.MAML."
            )


def _redefines(loss):
    """Whether a subclass of a Keras loss computes by code of its own."""
    return any(
        name in vars(cls) and not cls.__module__.startswith(("keras.", "tfmeta."))
        for cls in type(loss).__mro__
        for name in ("call", "__call__")
    )


def check_loss_weights(loss_weights) -> float:
    """Returns the factor of the one loss.

    Raises:
        ValueError: unless it is a number, or a list of one.
    """
    found = loss_weights
    if isinstance(found, (list, tuple)) and len(found) == 1:
        found = found[0]
    if found is None:
        return 1.0
    if isinstance(found, bool) or not isinstance(found, (int, float, np.number)):
        raise ValueError(
            "loss_weights must be one number, the factor of the one loss. "
            f"Received: loss_weights={loss_weights!r}. Pass a number."
        )
    return float(found)


def check_class_axis(loss_function, network):
    """Raises a ValueError for a cross-entropy whose classes are not the last axis."""
    kind, shape = loss_function.kind, getattr(network, "output_shape", None)
    last = len(shape) - 1 if isinstance(shape, tuple) else -1
    if kind.is_classification and kind.axis not in (-1, last):
        raise ValueError(
            "The classes of a learner's outputs are their last axis. Received: "
            f"{loss_function.loss.name!r} with axis={kind.axis}. Move the axis with "
            "keras.layers.Permute, and leave `axis` out."
        )


def check_second_derivative(learner):
    """Raises a ValueError where a meta-gradient differentiates an inner loss that lacks it."""
    loss_function = learner.inner_loss_function
    if learner.gradient_rule.second_order and loss_function.kind.function is keras.losses.ctc:
        raise ValueError(
            "A meta-gradient with second derivatives needs an inner loss that has them, which "
            f"TensorFlow's CTC has not. Received: {loss_function.loss.name!r}. Leave them out: "
            "tfmeta.MAML(first_order=True) or tfmeta.Reptile; or pass another inner_loss."
        )


def warn_of_logits(loss_function, network):
    """Warns where a network's outputs are logits and its cross-entropy expects probabilities."""
    kind = loss_function.kind
    if not kind.is_classification or kind.from_logits or not _ends_linearly(network):
        return
    warnings.warn(
        f"The loss {loss_function.loss.name!r} expects probabilities (from_logits=False), but the "
        f"last layer of {network.name!r} has no activation: its outputs are logits. Compile with "
        "the loss's class and from_logits=True, or end the network in a softmax or sigmoid.",
        stacklevel=3,
    )


# Layers that pass numbers on as they are.
_PASSING = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Identity,
    keras.layers.Dropout,
)


def _ends_linearly(network) -> bool:
    """Whether the last layer of a functional or sequential network is without an activation."""
    outputs = getattr(network, "outputs", None)
    tensor = outputs[0] if outputs else None
    while tensor is not None:
        layer = tensor._keras_history.operation
        if isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
        if isinstance(layer, keras.Model):
            return _ends_linearly(layer)
        if not isinstance(layer, _PASSING):
            return getattr(layer, "activation", None) is keras.activations.linear
        tensor = layer.input
    return False
