"""What the export is given: pure functions of one task, variables, shapes, metadata.

A learner builds a `Servable`; `tfmeta.saved_model` does not know which learner built it.
All callables take and return tensors without a task axis, must be traceable into a stock
TensorFlow graph (no Python function, no `jit_compile`), and must hold no variable that is not
listed in `parameters` or `state`. They are called inside a `tf.function`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

KINDS = ("classification", "regression")
TARGETS = ("sparse", "one_hot", "binary", "regression")
LINKS = ("softmax", "sigmoid", "identity")
NORMALIZATIONS = ("transductive", "inductive", "running")


class InputSpec(NamedTuple):
    """One input of the network: its shape without the batch axis, and its dtype.

    Attributes:
        shape: tuple of sizes; None where a size is free (a sequence's length).
        dtype: what a client sends: "float32" for every floating type, else "int32", "int64",
            "bool", "uint8" or "string". Floats are cast to `Servable.dtype` before the callables
            see them.
    """

    shape: tuple
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True)
class Servable:
    """A learned initialisation with everything that a SavedModel of it needs.

    Attributes:
        parameters: variables (Keras or TensorFlow) that the outer optimiser trained.
        state: variables that it did not train (moving averages, carried moments).
        adapt: `adapt(parameters, support_inputs, support_targets, inner_steps, rate_scale, state)
            -> (weights, support_losses)`. `parameters` and `state` are lists of tensors in the
            order above; `support_inputs` [S, ...] (a dict where `inputs` is one);
            `support_targets` [S, *target_shape], int32 where `target` is "sparse", else `dtype`;
            `inner_steps` a Python int, or an int32 scalar tensor; `rate_scale` a scalar tensor of
            `dtype` that multiplies every inner rate. `weights`: the network's trainable weights
            in their order, adapted or not; `support_losses` [inner_steps + 1].
        outputs: `outputs(weights, state, query_inputs, support_inputs) -> [Q, *output_shape]`, the
            network's raw outputs. `support_inputs` is None unless `needs_support`.
        initial_weights: `initial_weights(parameters) -> weights` before adaptation.
        weight_paths: the path of each weight ("conv_1/kernel").
        weight_shapes: the shape of each weight.
        adapted: indices of the weights that adaptation changes, ascending.
        inputs: an `InputSpec`, or a dict from names to `InputSpec`s.
        target: "sparse" (labels below `ways`), "one_hot" (rows that sum to 1), "binary" (numbers
            from 0 to 1: one logit each), or "regression".
        target_shape: shape of a target without the batch axis; () for sparse labels.
        output_shape: shape of an output without the batch axis; its last size is `ways` for a
            softmax.
        kind: "classification" or "regression".
        link: what makes predictions of logits: "softmax", "sigmoid", or "identity".
        from_logits: False where the network's outputs are probabilities already; logits are then
            their logarithm (softmax) or log-odds (sigmoid).
        ignore_class: a sparse label that support targets may hold beside the classes, or None.
        inner_steps: the number of steps of the signatures that do not ask for one.
        inner_rate: the inner rate as metadata: a number, or a dict from patterns to numbers, or
            None where it is learned.
        normalization: "transductive", "inductive" or "running".
        needs_support: whether `outputs` needs the support inputs (inductive normalisation).
        dtype: floating type of the arithmetic; signatures speak float32 whatever it is.
        learner: name of the learner, for the metadata.
        preprocessing: how images were prepared, for clients: {"height", "width", "channels",
            "scale": what pixels 0..255 are multiplied by, "invert": ink becomes 1, "resize":
            name of the filter}. Empty where unknown.
        usual_sizes: (S, Q) pairs that requests usually have; warmup records are made of them.
        metadata: anything else that JSON can hold, stored under "extra".
        pack: None, or the function that makes what the callables take of the list of inputs, in
            the order of `inputs`; None for a dict of them, or the one tensor.
        resources: objects other than variables that the callables read: lookup tables.
        sample: None, or `sample(parameters, support_inputs, support_targets, query_inputs, seed,
            state) -> (outputs [n, Q, *output_shape], support_losses [inner_steps + 1])`: raw
            outputs of n weights drawn for a task by `seed`, int32 [2], without other randomness.
        samples: n, where there is `sample`.
        present: None, or `present(weights) -> bool [ways]`, the classes that had an example when
            the weights were adapted, of a head that gives the others probability 0.
        max_ways: None where every answer has all classes; else the most classes of a request, the
            last size of `output_shape`: an answer has a column for each class up to the largest
            label. It needs `present`.
        outlier_score: None, or `outlier_score(weights, state, query_inputs, support_inputs,
            outputs) -> [Q, ...]`: how strange queries are to the classes, larger for a stranger;
            its last argument is what `outputs` gave.
        outliers: what is known of the score, for clients: {"score": its name, "threshold": above
            which a query counts as a stranger, or None, ...}; None where there is no score.
        noise: standard deviation of a regression's targets around an output, where it is known.
    """

    parameters: Sequence[Any]
    state: Sequence[Any]
    adapt: Callable
    outputs: Callable
    initial_weights: Callable
    weight_paths: Sequence[str]
    weight_shapes: Sequence[tuple]
    adapted: Sequence[int]
    inputs: InputSpec | Mapping[str, InputSpec]
    target: str
    output_shape: tuple
    kind: str
    link: str
    inner_steps: int
    normalization: str
    target_shape: tuple = ()
    from_logits: bool = True
    inner_rate: Any = None
    needs_support: bool = False
    dtype: str = "float32"
    learner: str = ""
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    usual_sizes: Sequence[tuple] = ()
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sample: Callable | None = None
    samples: int | None = None
    noise: float | None = None
    ignore_class: int | None = None
    pack: Callable | None = None
    resources: Sequence[Any] = ()
    present: Callable | None = None
    max_ways: int | None = None
    outlier_score: Callable | None = None
    outliers: Mapping[str, Any] | None = None

    def __post_init__(self):
        for name, allowed in (
            ("kind", KINDS),
            ("target", TARGETS),
            ("link", LINKS),
            ("normalization", NORMALIZATIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}. "
                    f"Received: {name}={getattr(self, name)!r}. Choose one of them."
                )
        if self.target == "sparse" and not self.output_shape:
            raise ValueError(
                "Sparse labels need a network with an axis of classes. "
                f"Received: output_shape={self.output_shape}. Give the network one output a class."
            )
        if self.max_ways is not None and (self.present is None or self.max_ways != self.ways):
            raise ValueError(
                "max_ways must be the number of the servable's outputs, of a head that tells which "
                f"classes it was set for (present). Received: max_ways={self.max_ways}, "
                f"{self.ways} outputs, present={self.present!r}."
            )

    @property
    def ways(self) -> int | None:
        """Number of classes; None for a regression."""
        if self.kind == "regression":
            return None
        return self.output_shape[-1] if self.output_shape else 1

    @property
    def named_inputs(self) -> dict:
        """Suffix of the signatures' input names -> `InputSpec`: "" where there is one input."""
        if isinstance(self.inputs, Mapping):
            return {f"_{name}": InputSpec(*spec) for name, spec in self.inputs.items()}
        return {"": InputSpec(*self.inputs)}
