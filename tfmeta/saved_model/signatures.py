"""The signatures: a `Servable`'s functions, with guards before and names around them."""

import tensorflow as tf

from tfmeta.inner import portable_operations
from tfmeta.saved_model import adapted_weights
from tfmeta.saved_model.classes import (
    cut,
    gives_present_probabilities,
    number_of_ways,
    present_classes,
    with_classes,
)
from tfmeta.saved_model.guards import Guards
from tfmeta.saved_model.limits import Limits
from tfmeta.saved_model.requests import Requests
from tfmeta.saved_model.servable import Servable
from tfmeta.saved_model.served_model import ServedModel
from tfmeta.saved_model.task_axis import map_tasks

SERVING_DEFAULT = "adapt_and_predict"


class Signatures(tf.Module):
    """Variables and concrete functions of a SavedModel.

    Args:
        servable: `Servable`.
        limits: `Limits`.

    Attributes:
        functions: dict from signature names to concrete functions of named tensors. Their inputs
            have unknown static shapes, so that a wrong one reaches the guards.
        input_shapes: the shapes that guards demand, `{signature: {input: shape}}`; None where a
            size is free.
        output_shapes: the same of the outputs.
        fingerprint: what `predict_adapted` demands as weights_fingerprint.
        serving_default: name of the signature that is the default.
    """

    serving_default = SERVING_DEFAULT

    def __init__(self, servable: Servable, limits: Limits | None = None):
        super().__init__(name="tfmeta")
        self._servable = servable
        self._requests = Requests(servable, limits or Limits())
        self.model = ServedModel(servable, shared=True)
        self.fingerprint = adapted_weights.fingerprint(servable)
        specs = self._requests.specs()
        self.input_shapes = {
            signature: {name: shape for name, (shape, _) in inputs.items()}
            for signature, inputs in specs.items()
        }
        self.output_shapes = output_shapes(servable)
        self.functions = {
            signature: _trace(getattr(self, f"_{signature}"), signature, inputs)
            for signature, inputs in specs.items()
        }

    def _adapt_and_predict(self, **request):
        support, targets, query = self._requests.examples("adapt_and_predict", request)
        weights, losses = self.model.adapt_or_fail(support, targets, self._servable.inner_steps)
        return {**self._answer(weights, query, support, targets), "support_loss": losses}

    def _adapt_and_predict_with(self, **request):
        guards = Guards()
        steps, scale = self._requests.steps(request, guards)
        support, targets, query = self._requests.examples("adapt_and_predict_with", request, guards)
        weights, losses = self.model.adapt_or_fail(support, targets, steps, scale)
        return {**self._answer(weights, query, support, targets), "support_loss": losses}

    def _answer(self, weights, query, support, targets):
        """Predictions for the classes of the request's support set."""
        present = None
        if self._servable.link == "softmax":
            present = present_classes(self._servable, targets["support_targets"])
        answer = self.model.predict_or_fail(weights, query, support)
        return with_classes(self._servable, answer, present)

    def _adapt_and_predict_tasks(self, **request):
        return map_tasks(self.model, self._servable, *self._requests.tasks(request))

    def _adapt_and_sample(self, **request):
        guards = Guards()
        seed = guards.passed(guards.shape("seed", request["seed"], (2,)))
        support, targets, query = self._requests.examples("adapt_and_sample", request, guards)
        return self.model.sample_or_fail(support, targets, query, seed)

    def _adapt(self, **request):
        support, targets, _ = self._requests.examples("adapt", request)
        weights, losses = self.model.adapt_or_fail(support, targets, self._servable.inner_steps)
        return {
            "adapted_weights": adapted_weights.flatten(self._servable, weights),
            "weights_fingerprint": tf.constant(self.fingerprint, tf.int64),
            "support_loss": losses,
        }

    def _predict_adapted(self, **request):
        guards = Guards()
        vector = self._requests.adapted_weights(request, self.fingerprint, guards)
        support, _, query = self._requests.examples("predict_adapted", request, guards)
        initial = self.model.initial_weights()
        weights = adapted_weights.unflatten(self._servable, vector, initial)
        answer = self.model.predict_or_fail(weights, query, support)
        present = self._servable.present
        if self._servable.max_ways is None or present is None:
            return answer
        return cut(answer, number_of_ways(present(weights)))

    def _predict(self, **request):
        support, _, query = self._requests.examples("predict", request)
        return self.model.predict_or_fail(self.model.initial_weights(), query, support)


def output_shapes(servable) -> dict:
    """`{signature: {output: shape}}`; None where a size is free."""
    outputs = (None, *servable.output_shape)
    initial = _predictions(servable, outputs)
    if servable.max_ways is not None:
        outputs = (*outputs[:-1], None)
    predictions = _predictions(servable, outputs)
    losses = {"support_loss": (servable.inner_steps + 1,)}
    with_support = predictions
    if gives_present_probabilities(servable):
        with_support = {**predictions, "present_probabilities": outputs}
    answer = {**with_support, **losses}
    tasks = {name: (None, *shape) for name, shape in answer.items()}
    size = adapted_weights.vector_size(servable)
    sampled = {}
    if servable.sample:
        spread = {"predictions_std": outputs, "samples": (servable.samples, *outputs)}
        sampled = {
            "adapt_and_sample": {**_predictions(servable, outputs, False), **losses, **spread}
        }
    return {
        **sampled,
        "adapt_and_predict": answer,
        "adapt_and_predict_with": {**with_support, "support_loss": (None,)},
        "adapt_and_predict_tasks": {**tasks, "status": (None,)},
        "adapt": {"adapted_weights": (size,), "weights_fingerprint": (), **losses},
        "predict_adapted": predictions,
        "predict": initial,
    }


def _predictions(servable, outputs, outliers=True):
    names = ("predictions", "logits") if servable.kind == "classification" else ("predictions",)
    scores = {"outlier_score": outputs[:-1]} if servable.outlier_score and outliers else {}
    return {**dict.fromkeys(names, outputs), **scores}


def _trace(function, name, inputs):
    specs = {key: tf.TensorSpec(None, dtype, name=key) for key, (_, dtype) in inputs.items()}

    def signature(**request):
        return function(**request)

    signature.__name__ = name
    with portable_operations():
        return tf.function(signature, autograph=False).get_concrete_function(**specs)
