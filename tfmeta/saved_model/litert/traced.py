"""The signatures of a LiteRT file, traced for fixed sizes."""

import dataclasses

import tensorflow as tf

from tfmeta.inner import portable_operations
from tfmeta.saved_model import adapted_weights
from tfmeta.saved_model.litert.replay import Translation, replay
from tfmeta.saved_model.served_model import ServedModel


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is fixed in a LiteRT file.

    Attributes:
        support: number of support examples.
        query: number of query examples.
        inner_steps: number of inner steps.
    """

    support: int
    query: int
    inner_steps: int

    def __post_init__(self):
        for name, least in (("support", 1), ("query", 1), ("inner_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f"{name} must be a whole number, at least {least}. Received: {name}={value!r}."
                )


class TracedSignature:
    """One signature as a traced function, which can be replayed as another program.

    Attributes:
        name: of the signature.
        function: the concrete function, of named tensors.
        specs: `{input: tf.TensorSpec}`.
    """

    def __init__(self, name, function, specs):
        self.name, self.specs = name, specs

        def signature(**request):
            self._inputs, self._outputs = dict(request), function(request)
            return self._outputs

        signature.__name__ = name
        with portable_operations():
            traced = tf.function(signature, autograph=False).get_concrete_function(**specs)
        self.function = traced

    def replayed(self, translate: Translation, convert=tf.identity):
        """A concrete function of the same inputs, operation by operation as `translate` says.

        Args:
            translate: see `replay`.
            convert: what is done to each input first.
        """

        def signature(**request):
            values = {self._inputs[name].ref(): convert(value) for name, value in request.items()}
            captured = self.function.captured_inputs
            inside = self.function.inputs[len(self.function.inputs) - len(captured) :]
            values.update(zip((tensor.ref() for tensor in inside), captured, strict=True))
            outputs = replay(list(self._outputs.values()), values, translate)
            return dict(zip(self._outputs, outputs, strict=True))

        signature.__name__ = self.name
        return tf.function(signature, autograph=False).get_concrete_function(**self.specs)


class TracedSignatures:
    """The three signatures of a `Servable`, for fixed sizes, without guards.

    Args:
        servable: `Servable`.
        sizes: `Sizes`.

    Attributes:
        model: `ServedModel`, which holds the variables.
        fingerprint: of the weights and of what they mean, for the metadata.
        signatures: list of `TracedSignature`.
    """

    def __init__(self, servable, sizes):
        self._servable, self._sizes = servable, sizes
        self.fingerprint = adapted_weights.fingerprint(servable)
        self.model = ServedModel(servable)
        # Traced once each, whatever number of signatures calls them.
        self._weights = tf.function(self._adapted, autograph=False)
        self._answers = tf.function(self.model.predict, autograph=False)
        support, query = self._inputs("support"), self._inputs("query")
        vector = tf.TensorSpec([adapted_weights.vector_size(servable)], tf.float32)
        weights = {"adapted_weights": vector, **query}
        if servable.needs_support:
            weights.update(_part(support, "support_inputs"))
        self.signatures = [
            TracedSignature("adapt", self._adapt, support),
            TracedSignature("predict_adapted", self._predict_adapted, weights),
            TracedSignature("adapt_and_predict", self._adapt_and_predict, {**support, **query}),
        ]

    def _adapt(self, request):
        weights, losses = self._weights(_part(request, "support_"))
        return {
            "adapted_weights": adapted_weights.flatten(self._servable, weights),
            "support_loss": losses,
        }

    def _predict_adapted(self, request):
        initial = self.model.initial_weights()
        vector = request["adapted_weights"]
        return self._predict(adapted_weights.unflatten(self._servable, vector, initial), request)

    def _adapt_and_predict(self, request):
        weights, losses = self._weights(_part(request, "support_"))
        return {**self._predict(weights, request), "support_loss": losses}

    def _adapted(self, request):
        # A tensor makes it a while_loop: one step in the file, whatever their number.
        steps = tf.constant(self._sizes.inner_steps)
        support, targets = _part(request, "support_inputs"), _part(request, "support_targets")
        weights, losses = self.model.adapt(support, targets, steps)
        return weights, tf.reshape(losses, [self._sizes.inner_steps + 1])

    def _predict(self, weights, request):
        support = _part(request, "support_inputs")
        return self._answers(weights, _part(request, "query_inputs"), support)

    def _inputs(self, part):
        servable, count = self._servable, getattr(self._sizes, part)
        specs = {
            f"{part}_inputs{suffix}": tf.TensorSpec((count, *spec.shape), spec.dtype)
            for suffix, spec in servable.named_inputs.items()
        }
        if part == "support":
            dtype = tf.int32 if servable.target == "sparse" else tf.float32
            specs["support_targets"] = tf.TensorSpec((count, *servable.target_shape), dtype)
        return specs


def _part(request, prefix):
    return {name: value for name, value in request.items() if name.startswith(prefix)}
