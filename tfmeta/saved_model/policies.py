"""The SavedModel of a policy: its signatures adapt to trajectories and say how to act.

Like the signatures of networks they are guarded in the graph (`guards.py`) and hold nothing that a
stock server refuses; the pure functions come from outside, in a `ServablePolicy`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta.inner import portable_operations
from tfmeta.saved_model.checksums import write_checksums
from tfmeta.saved_model.description import library_versions, plain, write_description
from tfmeta.saved_model.guards import Guards
from tfmeta.saved_model.version_directory import new_version
from tfmeta.saved_model.warmup import write_answered
from tfmeta.saved_model.writing import refuse_broken_weights, save

SCHEMA_VERSION = 1
MAX_TRAJECTORIES, MAX_STEPS, MAX_QUERIES = 1000, 1000, 1000


@dataclasses.dataclass(frozen=True)
class ServablePolicy:
    """A learned policy with everything that a SavedModel of it needs.

    Attributes:
        parameters: variables that the outer optimiser trained.
        state: variables that it did not train.
        adapt: `adapt(parameters, state, observations [N, H, o], actions [N, H, a], rewards [N, H],
            mask [N, H]) -> weights`, in the types of `dtype`; traceable into a stock graph.
        act: `act(weights, state, observations [Q, o]) -> (mean [Q, a], log_std [Q, a])`.
        observation_size: o.
        action_size: a.
        inner_rate: of the update, as metadata.
        dtype: floating type of the arithmetic; signatures speak float32 whatever it is.
        learner: its name, for the metadata.
        metadata: anything else that JSON can hold, stored under "extra".
    """

    parameters: Sequence[Any]
    state: Sequence[Any]
    adapt: Callable
    act: Callable
    observation_size: int
    action_size: int
    inner_rate: float
    dtype: str = "float32"
    learner: str = ""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PolicyLimits:
    """Upper limits that guards in the graph enforce.

    Attributes:
        max_support: trajectories of a request.
        max_steps: steps of a trajectory.
        max_query: query observations of a request.
    """

    max_support: int = MAX_TRAJECTORIES
    max_steps: int = MAX_STEPS
    max_query: int = MAX_QUERIES

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"{name} must be a whole number, at least 1. Received: {name}={value!r}. "
                    "Leave it out for the default."
                )


class PolicySignatures(tf.Module):
    """Variables and concrete functions of a policy's SavedModel.

    `adapt_and_act(observations [N, H, o], actions [N, H, a], rewards [N, H], mask [N, H],
    query_observations [Q, o]) -> mean [Q, a], log_std [Q, a]` takes one policy-gradient step on the
    trajectories, which the policy before adaptation must have drawn: `act(query_observations)`
    says how that one acts.

    Attributes:
        functions: dict from signature names to concrete functions of named tensors.
        input_shapes: the shapes that guards demand; None where a size is free.
        output_shapes: the same of the outputs.
        serving_default: name of the signature that is the default.
    """

    serving_default = "adapt_and_act"

    def __init__(self, servable: ServablePolicy, limits: PolicyLimits):
        super().__init__(name="tfmeta")
        self._servable, self._limits = servable, limits
        self.parameters = [_tf_variable(variable) for variable in servable.parameters]
        self.state = [_tf_variable(variable) for variable in servable.state]
        o, a = servable.observation_size, servable.action_size
        query = {"query_observations": (None, o)}
        support = {
            "observations": (None, None, o),
            "actions": (None, None, a),
            "rewards": (None, None),
            "mask": (None, None),
        }
        self.input_shapes: dict[str, dict[str, tuple]] = {
            "adapt_and_act": {**support, **query},
            "act": query,
        }
        answer = {"mean": (None, a), "log_std": (None, a)}
        self.output_shapes = {"adapt_and_act": answer, "act": answer}
        self.functions = {
            name: _trace(getattr(self, f"_{name}"), name, list(shapes))
            for name, shapes in self.input_shapes.items()
        }

    def _adapt_and_act(self, **request):
        request = self._checked("adapt_and_act", request)
        queries = request.pop("query_observations")
        weights = self._servable.adapt(_read(self.parameters), _read(self.state), **request)
        guards = Guards()
        finite = [tf.reduce_all(tf.math.is_finite(weight)) for weight in weights]
        guards.require(
            tf.reduce_all(finite),
            "Adaptation to the trajectories diverged: a weight is not a finite number.",
            advice="Send rewards and observations scaled as in training.",
        )
        return self._answer(guards.passed(list(weights)), queries)

    def _act(self, **request):
        queries = self._checked("act", request)["query_observations"]
        return self._answer(_read(self.parameters), queries)

    def _answer(self, weights, queries):
        mean, log_std = self._servable.act(weights, _read(self.state), queries)
        guards = Guards()
        guards.require(
            tf.reduce_all(tf.math.is_finite(mean)) & tf.reduce_all(tf.math.is_finite(log_std)),
            "The actions for query_observations diverged: not all are finite numbers.",
            advice="Send query_observations scaled as in training.",
        )
        answer = {"mean": tf.cast(mean, tf.float32), "log_std": tf.cast(log_std, tf.float32)}
        return guards.passed(answer)

    def _checked(self, signature, request):
        """The request in the servable's type, once its guards have passed."""
        guards, limits = Guards(), self._limits
        request = {
            name: guards.shape(name, request[name], shape)
            for name, shape in self.input_shapes[signature].items()
        }
        guards.length("query_observations", request["query_observations"], 0, limits.max_query)
        support = {name: value for name, value in request.items() if name != "query_observations"}
        if support:
            most = limits.max_support
            guards.length("observations", support["observations"], 1, most, unit="trajectories")
            most = limits.max_steps
            guards.length("observations", support["observations"], 1, most, axis=1, unit="steps")
            guards.same_length(support)
            guards.same_length(support, axis=1)
        for name, tensor in request.items():
            guards.finite(name, tensor)
        request = guards.passed(request)
        if support:
            _guard_mask(guards, request["mask"])
        cast = guards.passed(request)
        return {name: tf.cast(tensor, self._servable.dtype) for name, tensor in cast.items()}


def _guard_mask(guards, mask):
    """Trajectories begin at their first step, and what has ended does not go on."""
    marks = tf.reduce_all((mask == 0) | (mask == 1))
    falls = tf.reduce_all(mask[:, 1:] <= mask[:, :-1])
    guards.require(
        marks & falls & tf.reduce_all(mask[:, 0] == 1),
        "mask must be 1 from a trajectory's first step to its last, and 0 after that.",
        advice="Pad shorter trajectories at their end.",
    )


def export_policy(
    servable: ServablePolicy,
    export_dir: str | os.PathLike,
    version: int | None = None,
    *,
    max_support: int = MAX_TRAJECTORIES,
    max_steps: int = MAX_STEPS,
    max_query: int = MAX_QUERIES,
    warmup_sizes: Sequence[tuple[int, int]] = ((1, 1),),
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Writes EXPORT_DIR/<version>: SavedModel, warmup records and metadata.

    Args:
        servable: `ServablePolicy`.
        export_dir: directory of all versions; made if missing.
        version: integer from 0, or None for the next free one.
        max_support: trajectories that a request may have.
        max_steps: steps that a trajectory may have.
        max_query: query observations that a request may have.
        warmup_sizes: (N, Q) pairs to write warmup records for; empty for none.
        metadata: anything that JSON can hold, added to the servable's `metadata`.

    Returns:
        The path of the version directory.

    Raises:
        FileExistsError: if the version exists.
        ValueError: if a weight is not a finite number, or the network holds what a stock server
            refuses.
    """
    limits = PolicyLimits(max_support, max_steps, max_query)
    refuse_broken_weights(servable)
    with new_version(export_dir, version) as directory:
        signatures = PolicySignatures(servable, limits)
        save(signatures, directory.path)
        write_description(directory.path, _description(servable, limits, metadata))
        sizes = [(min(n, max_support), min(q, max_query)) for n, q in warmup_sizes]
        if sizes:
            write_answered(
                directory.path,
                lambda run: _answered(run, signatures, sizes),
                default=signatures.serving_default,
            )
        write_checksums(directory.path)
    return str(directory.path)


def _description(servable, limits, metadata):
    return plain(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "policy",
            "learner": servable.learner,
            "observation_size": servable.observation_size,
            "action_size": servable.action_size,
            "inner_steps": 1,
            "inner_rate": servable.inner_rate,
            "dtype": servable.dtype,
            "limits": dataclasses.asdict(limits),
            "versions": library_versions(),
            "extra": {**servable.metadata, **(metadata or {})},
        }
    )


def _answered(run, signatures, sizes):
    """(signature, request) pairs of noise that the model answered."""
    generator = np.random.default_rng(0)
    for trajectories, queries in dict.fromkeys(sizes):
        for signature, shapes in signatures.input_shapes.items():
            request = {}
            for name, (_, *rest) in shapes.items():
                count = queries if name == "query_observations" else trajectories
                shape = (count, *(2 if size is None else size for size in rest))
                ones = name == "mask"
                values = np.ones(shape) if ones else generator.uniform(0, 1, shape)
                request[name] = values.astype(np.float32)
            run(signature, request)
            yield signature, request


def _trace(function, name, inputs):
    specs = {key: tf.TensorSpec(None, tf.float32, name=key) for key in inputs}

    def signature(**request):
        return function(**request)

    signature.__name__ = name
    with portable_operations():
        return tf.function(signature, autograph=False).get_concrete_function(**specs)


def _tf_variable(variable):
    return variable if isinstance(variable, tf.Variable) else variable.value


def _read(variables):
    return [tf.convert_to_tensor(variable) for variable in variables]
