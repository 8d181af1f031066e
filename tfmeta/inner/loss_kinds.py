"""What a Keras loss says of its targets: labels or numbers, and how outputs become probabilities.

A loss comes as a class, a name, a function, a partial of a function, or a wrapper around one. All
of them end in the same function of `keras.losses`, and that function decides.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

# (targets, link from logits to probabilities) by the function under a loss.
_FUNCTIONS = {
    keras.losses.sparse_categorical_crossentropy: ("sparse", "softmax"),
    keras.losses.categorical_crossentropy: ("one_hot", "softmax"),
    keras.losses.categorical_focal_crossentropy: ("one_hot", "softmax"),
    keras.losses.binary_crossentropy: ("binary", "sigmoid"),
    keras.losses.binary_focal_crossentropy: ("binary", "sigmoid"),
    keras.losses.categorical_generalized_cross_entropy: ("sparse", "softmax"),
}

# These compare each target with the output at its own place.
_OF_ELEMENTS = (
    *(function for function, (target, _) in _FUNCTIONS.items() if target != "sparse"),
    keras.losses.categorical_hinge,
    keras.losses.cosine_similarity,
    keras.losses.dice,
    keras.losses.hinge,
    keras.losses.huber,
    keras.losses.kl_divergence,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.poisson,
    keras.losses.squared_hinge,
    keras.losses.tversky,
)


@dataclasses.dataclass(frozen=True)
class LossKind:
    """What a loss expects of targets and outputs.

    Attributes:
        target: "sparse" (integer labels), "one_hot", "binary", or "regression".
        link: what makes probabilities of logits: "softmax", "sigmoid", or "identity".
        from_logits: whether a cross-entropy takes logits; True for a regression.
        ignore_class: the label whose elements do not count, or None.
        label_smoothing: of the labels, 0 where there is none.
        axis: of the classes or of the mean, as the loss has it.
        function: the function of `keras.losses` (or the user's own) under the loss, or None.
    """

    target: str = "regression"
    link: str = "identity"
    from_logits: bool = True
    ignore_class: int | None = None
    label_smoothing: float = 0.0
    axis: int = -1
    function: Callable | None = None

    @property
    def is_classification(self) -> bool:
        """Whether the loss is a cross-entropy."""
        return self.link != "identity"

    @property
    def takes_logits(self) -> bool:
        """Whether the loss is a cross-entropy of several classes, from logits."""
        return self.link == "softmax" and self.from_logits

    @property
    def is_squared_error(self) -> bool:
        """Whether the loss is the mean squared error."""
        return self.function is keras.losses.mean_squared_error


def kind_of(loss: Any) -> LossKind:
    """The kind of a loss.

    Example:
        >>> from tfmeta.inner import kind_of
        >>> kind_of("binary_crossentropy").target
        'binary'

    Args:
        loss: a `keras.losses.Loss`, its name, or a function of (targets, outputs).
    """
    function, options = _unwrapped(keras.losses.get(loss))
    target, link = _known(function)
    if target is None:
        return LossKind(function=function)
    return LossKind(
        target,
        link,
        bool(options.get("from_logits", False)),
        options.get("ignore_class"),
        float(options.get("label_smoothing", 0.0)),
        options.get("axis", -1),
        function,
    )


def compares_elements(kind: LossKind) -> bool:
    """Whether a loss of Keras compares each target with the output at its own place.

    Args:
        kind: of the loss. Functions of a user's own are not known, and count as others.
    """
    return any(kind.function is function for function in _OF_ELEMENTS)


def _known(function):
    try:
        return _FUNCTIONS.get(function, (None, None))
    except TypeError:  # A callable object that has no hash.
        return None, None


def _unwrapped(loss):
    """(the innermost function, its keyword arguments)."""
    options: dict[str, Any] = {}
    while True:
        if isinstance(loss, functools.partial):
            options = {**loss.keywords, **options}
            loss = loss.func
        elif isinstance(loss, keras.losses.Loss):
            options = {**getattr(loss, "_fn_kwargs", {}), **options}
            wrapped = getattr(loss, "fn", None)
            if wrapped is None:
                return None, options
            loss = wrapped
        else:
            return loss, options
