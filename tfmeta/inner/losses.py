"""A Keras loss as a (weighted) mean over a set of examples, in the dtype of the outputs."""

import keras
import tensorflow as tf


class SetLoss:
    """The loss of one set of examples: a weighted mean of a Keras loss, or a sum if it asks so.

    Keras' own reduction divides a weighted sum by the number of examples and computes in
    `floatx`; here weights divide by their sum, and float64 stays float64.

    Attributes:
        loss: the `keras.losses.Loss`.
    """

    def __init__(self, loss):
        self.loss = _as_loss(loss)

    def __call__(self, targets, outputs, weights=None):
        """Returns the loss [] of targets [N, ...] and outputs [N, ...] with weights [N] or None."""
        if targets.dtype.is_floating:
            targets = tf.cast(targets, outputs.dtype)
        if targets.shape.rank is not None and outputs.shape[targets.shape.rank :] == [1]:
            targets = targets[..., tf.newaxis]  # [N] for outputs [N, 1], not to broadcast to [N, N]
        values = self._values(targets, outputs)
        if values.shape.rank == 0:
            if weights is not None:
                raise ValueError(
                    "A weighted set needs a loss with one value an example. Received: a scalar "
                    f"from {self.loss.name!r}. Drop the weights, or write the loss's `call` so "
                    "that it keeps the first axis."
                )
            return values
        if values.shape.rank > 1:
            reduce = tf.reduce_sum if self._sums else tf.reduce_mean
            values = reduce(values, axis=list(range(1, values.shape.rank)))
        if weights is None:
            return tf.reduce_sum(values) if self._sums else tf.reduce_mean(values)
        weights = tf.cast(weights, values.dtype)
        total = tf.reduce_sum(values * weights)
        return total if self._sums else tf.math.divide_no_nan(total, tf.reduce_sum(weights))

    def _values(self, targets, outputs):
        try:
            return tf.convert_to_tensor(self.loss.call(targets, outputs))
        except ValueError as error:
            raise ValueError(
                f"Targets must be what the loss {self.loss.name!r} takes for the network's outputs "
                f"{tuple(outputs.shape)}. Received: targets {tuple(targets.shape)}. Sparse losses "
                "take integer labels [examples], others targets of the outputs' shape (one-hot "
                f"labels). The loss says: {error}"
            ) from error

    @property
    def _sums(self):
        return self.loss.reduction == "sum"


def _as_loss(loss):
    if not isinstance(loss, (str, keras.losses.Loss)) and not callable(loss):
        raise ValueError(
            "A learner needs one loss: a Keras loss, its name, or a function of "
            f"(targets, outputs). Received: {loss!r}."
        )
    found = keras.losses.get(loss)
    return found if isinstance(found, keras.losses.Loss) else _FunctionLoss(found)


class _FunctionLoss(keras.losses.Loss):
    def __init__(self, function):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred)
