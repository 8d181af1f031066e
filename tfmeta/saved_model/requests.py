"""What a request of each signature consists of, and the guards that it must pass."""

import tensorflow as tf

from tfmeta.saved_model.adapted_weights import vector_size
from tfmeta.saved_model.classes import present_classes
from tfmeta.saved_model.guards import Guards

FLOATING = ("float16", "bfloat16", "float32", "float64")


class Requests:
    """Names, shapes, dtypes and guards of the requests to one `Servable`."""

    def __init__(self, servable, limits):
        self._servable = servable
        self._limits = limits
        self._limit_of = {"support": limits.max_support, "query": limits.max_query}

    def specs(self) -> dict:
        """`{signature: {input: (shape, dtype)}}`; None where a size is free."""
        support, query = self._inputs("support_inputs"), self._inputs("query_inputs")
        dtype = "int32" if self._servable.target == "sparse" else "float32"
        targets = {"support_targets": ((None, *self._servable.target_shape), dtype)}
        both = {**support, **targets, **query}
        prediction = {**support, **query} if self._servable.needs_support else query
        size = vector_size(self._servable)
        sampled = {"adapt_and_sample": {**both, "seed": ((2,), "int32")}}
        return {
            **(sampled if self._servable.sample else {}),
            "adapt_and_predict": both,
            "adapt_and_predict_with": {
                **both,
                "inner_steps": ((), "int32"),
                "inner_rate_scale": ((), "float32"),
            },
            "adapt_and_predict_tasks": {
                name: ((None, *shape), dtype) for name, (shape, dtype) in both.items()
            },
            "adapt": {**support, **targets},
            "predict_adapted": {
                "adapted_weights": ((size,), "float32"),
                "weights_fingerprint": ((), "int64"),
                **prediction,
            },
            "predict": prediction,
        }

    def examples(self, signature, request, guards=None):
        """Checks shapes, sizes and values of the sets of examples in a request.

        Returns:
            `(support inputs, targets, query inputs)`: dicts of tensors, empty where the signature
            has none.
        """
        guards = guards or Guards()
        request = self._shaped(signature, request, guards)
        for name, tensor in request.items():
            guards.finite(name, tensor)
        request = guards.passed(request)
        if "support_targets" in request:
            guards.targets(
                "support_targets",
                request["support_targets"],
                self._servable.target,
                self._servable.ways,
                self._servable.ignore_class,
                limit="max_ways" if self._servable.max_ways else None,
            )
            if self._servable.max_ways and self._servable.ignore_class is not None:
                request = guards.passed(request)
                present = present_classes(self._servable, request["support_targets"])
                guards.require(
                    tf.reduce_any(present),
                    "support_targets must have a label that is not the ignored class.",
                    advice="Send an example of a class.",
                )
        return split(guards.passed(request))

    def tasks(self, request):
        """Checks shapes and sizes of a request of several tasks; values get a status instead."""
        guards = Guards()
        request = self._shaped("adapt_and_predict_tasks", request, guards, axis=1)
        for name, tensor in request.items():
            guards.length(name, tensor, 0, self._limits.max_tasks, unit="tasks")
        guards.same_length(request)
        return split(guards.passed(request))

    def steps(self, request, guards):
        """Checks `inner_steps` and `inner_rate_scale`."""
        steps = guards.shape("inner_steps", request["inner_steps"], ())
        scale = guards.shape("inner_rate_scale", request["inner_rate_scale"], ())
        limit = self._limits.max_inner_steps
        guards.require(
            tf.logical_and(steps >= 0, steps <= limit),
            f"inner_steps must be in [0, {limit}].",
            steps,
            "Send fewer, or export with a higher max_inner_steps.",
        )
        guards.require(
            tf.logical_and(tf.math.is_finite(scale), scale >= 0),
            "inner_rate_scale must be a finite number, 0 or above.",
            scale,
            "Send 1.0 for the rate as trained.",
        )
        return guards.passed((steps, scale))

    def adapted_weights(self, request, fingerprint, guards):
        """Checks the vector that `adapt` of this very export answered."""
        vector = guards.shape(
            "adapted_weights", request["adapted_weights"], (vector_size(self._servable),)
        )
        received = guards.shape("weights_fingerprint", request["weights_fingerprint"], ())
        guards.finite("adapted_weights", vector)
        guards.require(
            tf.equal(received, tf.constant(fingerprint, tf.int64)),
            f"weights_fingerprint must be {fingerprint}, this version's: adapted_weights of "
            "another version or model mean nothing here.",
            received,
            "Ask this version's signature adapt again.",
        )
        return guards.passed(vector)

    def _inputs(self, prefix):
        return {
            prefix + suffix: (
                (None, *spec.shape),
                "float32" if spec.dtype in FLOATING else spec.dtype,
            )
            for suffix, spec in self._servable.named_inputs.items()
        }

    def _shaped(self, signature, request, guards, axis=0):
        specs = {
            name: shape
            for name, (shape, _) in self.specs()[signature].items()
            if name.startswith(("support_", "query_"))
        }
        request = {name: guards.shape(name, request[name], shape) for name, shape in specs.items()}
        for side, least in (("support", 1), ("query", 0)):
            part = {name: tensor for name, tensor in request.items() if name.startswith(side)}
            for name, tensor in part.items():
                guards.length(name, tensor, least, self._limit_of[side], axis)
            if part:
                guards.same_length(part, axis)
        return guards.passed(request)


def split(request):
    """`(support inputs, targets, query inputs)` of a checked request."""
    return tuple(
        {name: tensor for name, tensor in request.items() if name.startswith(prefix)}
        for prefix in ("support_inputs", "support_targets", "query_inputs")
    )
