"""The models that adapt to a folder: an exported directory, or a learner in this process."""

import numpy as np
import tensorflow as tf

from tfmeta.saved_model import ExportedModel, read_description
from tfmeta.saved_model.exported_model import find_version

IN_PROCESS_BATCH = 32  # queries at a time


class ExportedClassifier:
    """An exported model, as `predicting.py` asks it."""

    def __init__(self, export_dir):
        self.origin = find_version(export_dir)
        self.description = read_description(self.origin)

    def answers(self, support_inputs, support_targets, query_parts, inner_steps):
        """What all parts of the queries get.

        Returns:
            Logits [Q, ...], support losses [inner_steps + 1], and outlier scores [Q] or None.
        """
        model = ExportedModel(self.origin)  # seconds: not before the folders are known to fit
        request = {"support_inputs": support_inputs, "support_targets": support_targets}
        signature = "adapt_and_predict"
        if inner_steps is not None:
            signature = "adapt_and_predict_with"
            request["inner_steps"] = np.array(inner_steps, np.int32)
            request["inner_rate_scale"] = np.array(1.0, np.float32)
        found = [model(signature, **request, query_inputs=part) for part in query_parts]
        joined = {
            name: np.concatenate([each[name] for each in found])
            for name in ("logits", "outlier_score")
            if name in found[0]
        }
        return joined["logits"], found[0]["support_loss"], joined.get("outlier_score")


class ClassifierInProcess:
    """A learner in this process, as `predicting.py` asks it: by the functions that it exports."""

    def __init__(self, learner):
        self.servable = learner.servable()
        self.origin = f"a learner of {learner.network.name!r}"
        self.description = {
            "kind": self.servable.kind,
            "inputs": {
                name.removeprefix("_") or "inputs": {"shape": list(spec.shape)}
                for name, spec in self.servable.named_inputs.items()
            },
            "output_shape": list(self.servable.output_shape),
            "target": self.servable.target,
            "ways": self.servable.ways,
            "normalization": self.servable.normalization,
            "inner_steps": self.servable.inner_steps,
            "outliers": self.servable.outliers,
            "preprocessing": {},
            "limits": {"max_query": IN_PROCESS_BATCH},
        }

    def answers(self, support_inputs, support_targets, query_parts, inner_steps):
        """What all parts of the queries get.

        Returns:
            Logits [Q, ...], support losses [inner_steps + 1], and outlier scores [Q] or None.
        """
        servable = self.servable
        steps = servable.inner_steps if inner_steps is None else inner_steps
        if steps < 0:
            raise ValueError(f"inner_steps must be 0 or more. Received: {steps}.")
        parameters = [tf.convert_to_tensor(v) for v in servable.parameters]
        state = [tf.convert_to_tensor(v) for v in servable.state]
        support = tf.constant(support_inputs, servable.dtype)
        targets = support_targets
        if servable.target != "sparse":
            targets = tf.constant(targets, servable.dtype)
        one = tf.ones([], servable.dtype)

        @tf.function(autograph=False)
        def adapt(parameters, support, targets, state):
            return servable.adapt(parameters, support, targets, tf.constant(steps), one, state)

        @tf.function(autograph=False, reduce_retracing=True)
        def outputs(weights, state, queries):
            held = support if servable.needs_support else None
            logits = servable.outputs(weights, state, queries, held)
            if servable.outlier_score is None:
                return [logits]
            return [logits, servable.outlier_score(weights, state, queries, held, logits)]

        weights, losses = adapt(parameters, support, targets, state)
        found = [outputs(weights, state, tf.constant(p, servable.dtype)) for p in query_parts]
        logits, *scores = (
            np.concatenate([part.numpy() for part in parts]) for parts in zip(*found, strict=True)
        )
        return logits, losses.numpy(), scores[0] if scores else None
