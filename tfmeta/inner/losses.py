"""A Keras loss of one set of examples: Keras' masks and reductions, in the outputs' dtype."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.loss_kinds import LossKind, compares_elements, kind_of


class SetLoss:
    """The loss of one set of examples, as Keras computes it, in the dtype of the outputs.

    An element that the outputs' mask or the loss's `ignore_class` leaves out does not count, in
    the sum and in the number that divides it. Weights divide by their sum, where Keras divides
    by the number of examples.

    Attributes:
        loss: the `keras.losses.Loss`.
        kind: its `LossKind`.
        factor: what the loss is multiplied by (`loss_weights` of `compile`).
        reduces_itself: whether the loss defines `__call__`, where others define `call`.
    """

    def __init__(self, loss: Any, factor: float = 1.0):
        self.loss = _as_loss(loss)
        self.kind = kind_of(self.loss)
        self.factor = factor
        self.reduces_itself = type(self.loss).__call__ is not keras.losses.Loss.__call__

    def __call__(self, targets, outputs, weights=None):
        """Returns the loss [].

        Args:
            targets: [N, ...].
            outputs: [N, ...], with the network's mask, if it gives one (`with_mask`).
            weights: one an example [N], or one an element of the loss [N, ...], or None.

        Raises:
            ValueError: for targets that the loss does not take, or weights of another shape.
        """
        if self.reduces_itself:
            value = self._by_itself(targets, outputs, weights)
        else:
            value = _reduced(*self.elements(targets, outputs, weights), self.sums)
        return value if self.factor == 1.0 else self.factor * value

    @property
    def sums(self) -> bool:
        """Whether the loss is a sum over elements, not a mean."""
        return self.loss.reduction == "sum"

    def elements(
        self, targets: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the loss reduces.

        Args:
            targets: as of `__call__`.
            outputs: as of `__call__`.
            weights: as of `__call__`.

        Returns:
            The loss of each element [N, ...] (or [], where the loss gives one number), and the
            elements' weights, of as many axes or fewer: the product of mask and weights, or None.
        """
        targets = self._aligned(targets, outputs)
        values = self._values(targets, outputs)
        masks = [m for m in (mask_of(outputs), mask_of(values)) if m is not None]
        if values.shape.rank == 0:
            if weights is not None:
                raise ValueError(
                    "A weighted set needs a loss with one value an example. Received: a scalar "
                    f"from {self.loss.name!r}. Drop the weights, or write the loss's `call` so "
                    "that it keeps the first axis."
                )
            return values, None
        factors = [tf.cast(_fitted(m, values, "The outputs' mask"), values.dtype) for m in masks]
        if weights is not None:
            fitted = _fitted(weights, values, "Weights (sample_weight, support weights)")
            factors.append(tf.cast(fitted, values.dtype))
        return values, _product(factors)

    def _by_itself(self, targets, outputs, weights):
        if weights is not None:
            raise ValueError(
                "A weighted set needs a loss that defines `call`, whose values are weighted. "
                f"Received: {self.loss.name!r}, which defines `__call__`. Drop the weights, or "
                "write the loss as `call`."
            )
        value = tf.convert_to_tensor(self.loss(targets, outputs))
        if value.shape.rank != 0:
            raise ValueError(
                "A loss that defines `__call__` gives one number a set. Received: "
                f"{self.loss.name!r}, which gives shape {tuple(value.shape)}. Write it as `call`, "
                "or reduce it."
            )
        return tf.cast(value, outputs.dtype)

    def _aligned(self, targets, outputs):
        """Targets in the outputs' dtype, as Keras casts them, and of as many axes."""
        labels = self.kind.target == "sparse" and targets.dtype.is_integer
        if not labels and targets.dtype != outputs.dtype:
            targets = tf.cast(targets, outputs.dtype)
        rank, out_rank = targets.shape.rank, outputs.shape.rank
        if rank is None or out_rank is None:
            return targets
        if outputs.shape[rank:] == [1]:  # [N] for outputs [N, 1], not to broadcast to [N, N]
            return targets[..., tf.newaxis]
        if rank == out_rank + 1 and targets.shape[-1] == 1:
            return tf.squeeze(targets, axis=-1)
        column = rank == out_rank and targets.shape[-1] == 1
        if column and self.kind.target == "sparse":  # Not every such loss of Keras squeezes it.
            return tf.squeeze(targets, axis=-1)
        if rank != out_rank and compares_elements(self.kind):
            raise ValueError(
                f"Targets of the loss {self.loss.name!r} must have the axes of the network's "
                f"outputs, {tuple(outputs.shape)}. Received: targets {tuple(targets.shape)}, which "
                "would be compared with other examples' outputs where the sizes agree. Give one "
                "target for each output, or the network one output."
            )
        return targets

    def _values(self, targets, outputs):
        try:
            values = self.loss.call(targets, outputs)
        except ValueError as error:
            raise ValueError(
                f"Targets must be what the loss {self.loss.name!r} takes for the network's outputs "
                f"{tuple(outputs.shape)}. Received: targets {tuple(targets.shape)}. Sparse losses "
                "take integer labels [examples], others targets of the outputs' shape (one-hot "
                f"labels). The loss says: {error}"
            ) from error
        return with_mask(tf.convert_to_tensor(values), mask_of(values))


def mask_of(tensor: tf.Tensor) -> tf.Tensor | None:
    """The mask that Keras keeps with a tensor, a bool tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


def masks_of(tensor: tf.Tensor) -> list:
    """The tensor's mask in a list, empty where it has none: what a map over tasks can return."""
    mask = mask_of(tensor)
    return [] if mask is None else [mask]


def with_mask(tensor: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """The tensor, with a mask for Keras' losses and metrics; as it is where the mask is None."""
    if mask is not None:
        tensor._keras_mask = mask
    return tensor


def with_own_losses(loss: tf.Tensor, own_losses: Sequence[tf.Tensor]) -> tf.Tensor:
    """The loss [] and the network's own: regularisation and `add_loss`, each summed as Keras."""
    own = [tf.cast(value, loss.dtype) for value in own_losses]
    return tf.add_n([loss, *(v if v.shape.rank == 0 else tf.reduce_sum(v) for v in own)])


def element_presence(kind: LossKind, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor | None:
    """Which elements count, float of the outputs' dtype, or None: all.

    Args:
        kind: a `LossKind`.
        targets: [N, ...].
        outputs: [N, ..., classes], with the network's mask, if it gives one.

    Returns:
        [N, ...], without the axis of classes, or None.
    """
    parts = [mask_of(outputs)] if mask_of(outputs) is not None else []
    if kind.ignore_class is not None:
        labels = targets
        if labels.shape.rank == outputs.shape.rank:
            labels = tf.squeeze(labels, axis=-1)
        parts.append(tf.not_equal(tf.cast(labels, tf.int64), kind.ignore_class))
    return _product([tf.cast(part, outputs.dtype) for part in parts])


def _fitted(weights, values, what):
    """Weights whose axes are the first ones of `values`."""
    rank, value_rank = weights.shape.rank, values.shape.rank
    if rank > value_rank and all(size in (1, None) for size in weights.shape[value_rank:]):
        weights = tf.reshape(weights, tf.shape(values))
    while 1 < weights.shape.rank <= value_rank and weights.shape[-1] == 1:
        if values.shape[weights.shape.rank - 1] == 1:
            break
        weights = tf.squeeze(weights, axis=-1)  # [N, 1] for values [N, L]
    rank = weights.shape.rank
    if rank > value_rank or not values.shape[:rank].is_compatible_with(weights.shape):
        raise ValueError(
            f"{what} must have the shape of the loss's values, {tuple(values.shape)}, or of their "
            f"first axes. Received: shape {tuple(weights.shape)}. Pass one weight an example."
        )
    return weights


def _product(factors):
    """The product of tensors, of which some may lack the last axes; None of none."""
    if len(factors) < 2:
        return factors[0] if factors else None
    rank = max(factor.shape.rank for factor in factors)
    product = 1.0
    for factor in factors:
        for _ in range(rank - factor.shape.rank):
            factor = factor[..., tf.newaxis]
        product = product * factor
    return product


def _reduced(values, weights, sums):
    """The sum or mean of values [N, ...], weighted by [N, ...] of as many axes or fewer."""
    if values.shape.rank == 0:
        return values
    reduce = tf.reduce_sum if sums else tf.reduce_mean
    if weights is None:
        return reduce(values)
    if values.shape.rank > weights.shape.rank:
        values = reduce(values, axis=list(range(weights.shape.rank, values.shape.rank)))
    total = tf.reduce_sum(values * weights)
    return total if sums else tf.math.divide_no_nan(total, tf.reduce_sum(weights))


def _as_loss(loss):
    if not isinstance(loss, (str, keras.losses.Loss)) and not callable(loss):
        raise ValueError(
            "A learner needs one loss: a Keras loss, its name, or a function of "
            f"(targets, outputs). Received: {loss!r}."
        )
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        raise ValueError(
            "A learner needs to know which cross-entropy it is given. Received: "
            f"loss={loss!r}. Name it: 'sparse_categorical_crossentropy', "
            "'categorical_crossentropy' or 'binary_crossentropy'."
        )
    found = keras.losses.get(loss)
    found = found if isinstance(found, keras.losses.Loss) else _FunctionLoss(found)
    if found.reduction in (None, "none"):
        raise ValueError(
            "A learner's loss is one number a set. Received: "
            f"{found.name!r} with reduction={found.reduction!r}. Pass "
            "reduction='sum_over_batch_size' or 'sum'."
        )
    return found


class _FunctionLoss(keras.losses.Loss):
    def __init__(self, function):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.fn = function

    def call(self, y_true, y_pred):
        return self.fn(y_true, y_pred)
