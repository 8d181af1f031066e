"""A `Servable` on checked float32 tensors: adaptation and predictions as signatures speak them."""

import numpy as np
import tensorflow as tf

from tfmeta.parallel.map_tasks import at_least_one_row
from tfmeta.saved_model.guards import Guards
from tfmeta.saved_model.shared_function import SharedFunction


class ServedModel(tf.Module):
    """The variables of a `Servable`, and its functions between the client's types and its own.

    Inputs and targets are dicts by the signatures' names ("support_inputs_image"); floats are
    float32 outside and `servable.dtype` inside.

    Args:
        servable: `Servable`.
        shared: whether `adapt` and `predict` are traced once and called by all signatures.

    Attributes:
        parameters: the servable's parameters as `tf.Variable`s.
        state: the servable's state as `tf.Variable`s.
        resources: the servable's lookup tables, which a SavedModel keeps.
    """

    def __init__(self, servable, *, shared=False):
        super().__init__(name="tfmeta")
        self._servable = servable
        self._adapt, self._predict = self._adapt_here, self._predict_here
        if shared:
            self._adapt = SharedFunction(self._adapt_here, "adapt_weights")
            self._predict = SharedFunction(self._predict_here, "answer_queries")
        self.parameters = [_tf_variable(variable) for variable in servable.parameters]
        self.state = [_tf_variable(variable) for variable in servable.state]
        self.resources = list(servable.resources)

    def initial_weights(self):
        """The network's weights before adaptation."""
        return list(self._servable.initial_weights(_read(self.parameters)))

    def adapt(self, support, targets, inner_steps, rate_scale=1.0):
        """Adapts to a support set: `(weights, support_loss float32 [inner_steps + 1])`."""
        return self._adapt(support, targets, inner_steps, rate_scale)

    def predict(self, weights, query, support):
        """Predictions, and logits for a classifier: dict of float32 [Q, *output_shape]."""
        return self._predict(weights, query, support if self._servable.needs_support else None)

    def _adapt_here(self, support, targets, inner_steps, rate_scale):
        weights, losses = self._servable.adapt(
            _read(self.parameters),
            self._network_inputs(support),
            self._cast(targets["support_targets"]),
            inner_steps,
            tf.cast(rate_scale, self._servable.dtype),
            _read(self.state),
        )
        return list(weights), tf.cast(losses, tf.float32)

    def _predict_here(self, weights, query, support):
        first = next(iter(query.values()))
        examples = first.shape[0] or tf.shape(first)[0]
        # A layer may not take an empty batch (a reshape to -1 cannot), so it gets one of zeros.
        query = {name: at_least_one_row(tensor) for name, tensor in query.items()}
        asked = (
            weights,
            _read(self.state),
            self._network_inputs(query),
            self._network_inputs(support) if self._servable.needs_support else None,
        )
        outputs = self._servable.outputs(*asked)
        outputs = tf.ensure_shape(outputs, (None, *self._servable.output_shape))
        strange = {}
        if self._servable.outlier_score is not None:
            scores = self._servable.outlier_score(*asked, outputs)
            strange["outlier_score"] = tf.cast(scores, tf.float32)[:examples]
        outputs = outputs[:examples]
        predictions, logits = link(outputs, self._servable.link, self._servable.from_logits)
        named = {"predictions": tf.cast(predictions, tf.float32)}
        if self._servable.kind == "classification":
            named["logits"] = tf.cast(logits, tf.float32)
        return {**named, **strange}

    def sample(self, support, targets, query, seed):
        """Predictions of n weights, their mean and spread: dict of float32, and support_loss.

        "samples" is [n, Q, *output_shape]. "predictions" and "predictions_std" are their mean and
        standard deviation over n. A classifier's "logits" belong to the mean prediction.
        """
        examples = tf.shape(next(iter(query.values())))[0]
        query = {name: at_least_one_row(tensor) for name, tensor in query.items()}
        outputs, losses = self._servable.sample(
            _read(self.parameters),
            self._network_inputs(support),
            self._cast(targets["support_targets"]),
            self._network_inputs(query),
            seed,
            _read(self.state),
        )
        shape = (self._servable.samples, None, *self._servable.output_shape)
        outputs = tf.ensure_shape(outputs, shape)[:, :examples]
        samples, _ = link(outputs, self._servable.link, self._servable.from_logits)
        mean = tf.reduce_mean(samples, axis=0)
        named = {"predictions": mean, "samples": samples}
        named["predictions_std"] = tf.math.reduce_std(samples, axis=0)
        if self._servable.kind == "classification":
            _, named["logits"] = link(mean, self._servable.link, from_logits=False)
        named["support_loss"] = losses
        return {name: tf.cast(tensor, tf.float32) for name, tensor in named.items()}

    def sample_or_fail(self, support, targets, query, seed):
        """`sample`, with an INVALID_ARGUMENT where a number of it is not finite."""
        answer = self.sample(support, targets, query, seed)
        guards = Guards()
        guards.require(
            predictions_are_finite(answer),
            "Adaptation to the support set, or a prediction for query_inputs, diverged: not all "
            "are finite numbers.",
            advice="Send inputs scaled as in training.",
        )
        return guards.passed(answer)

    def adapt_or_fail(self, support, targets, inner_steps, rate_scale=1.0):
        """`adapt`, with an INVALID_ARGUMENT where it diverged."""
        weights, losses = self.adapt(support, targets, inner_steps, rate_scale)
        guards = Guards()
        finite = tf.math.is_finite(losses)
        steps = tf.size(losses) - 1
        worst = tf.argmin(tf.cast(finite, tf.int32), output_type=tf.int32)
        guards.require(
            adaptation_is_finite(weights, losses),
            "Adaptation to the support set diverged: the support loss or a weight is not a finite "
            "number after an inner step.",
            tf.where(tf.reduce_all(finite), steps, worst),
            "Send fewer inner_steps or a smaller inner_rate_scale (adapt_and_predict_with), or "
            "inputs scaled as in training.",
        )
        return guards.passed((weights, losses))

    def predict_or_fail(self, weights, query, support):
        """`predict`, with an INVALID_ARGUMENT where a prediction is not a finite number."""
        predictions = self.predict(weights, query, support)
        guards = Guards()
        guards.require(
            predictions_are_finite(predictions),
            "The predictions for query_inputs diverged: not all are finite numbers.",
            advice="Send query_inputs scaled as in training.",
        )
        return guards.passed(predictions)

    def _network_inputs(self, named):
        values = [self._cast(tensor) for tensor in named.values()]
        if self._servable.pack is not None:
            return self._servable.pack(values)
        keys = self._servable.named_inputs
        if list(keys) == [""]:
            return values[0]
        return dict(zip((key[1:] for key in keys), values, strict=True))

    def _cast(self, tensor):
        return tf.cast(tensor, self._servable.dtype) if tensor.dtype.is_floating else tensor


def link(outputs, name, from_logits):
    """(predictions, logits) of raw outputs."""
    if name == "identity":
        return outputs, outputs
    if from_logits:
        squash = tf.nn.softmax if name == "softmax" else tf.math.sigmoid
        return squash(outputs), outputs
    tiny = tf.constant(np.finfo(outputs.dtype.as_numpy_dtype).tiny, outputs.dtype)
    logits = tf.math.log(tf.maximum(outputs, tiny))
    if name == "sigmoid":
        logits -= tf.math.log(tf.maximum(1 - outputs, tiny))
    return outputs, logits


def adaptation_is_finite(weights, losses):
    """Scalar bool: all support losses and weights are finite numbers."""
    parts = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in (losses, *weights)]
    return tf.reduce_all(tf.stack(parts))


def predictions_are_finite(predictions):
    """Scalar bool: all predictions and logits are finite numbers."""
    parts = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in predictions.values()]
    return tf.reduce_all(tf.stack(parts))


def _tf_variable(variable):
    return variable if isinstance(variable, tf.Variable) else variable.value


def _read(variables):
    return [tf.convert_to_tensor(variable) for variable in variables]
