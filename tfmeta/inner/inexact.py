"""Finding layers whose second derivatives TensorFlow drops or lacks, before training on them.

The network and its first gradient are traced once; what the second derivative would have to
differentiate is then looked up in TensorFlow's gradient registry, which says of each operation
whether it has a derivative, is declared to have none (silently a wrong number), or is not there
(an error deep in a trace). `tfmeta.derivatives.exact` already cured what can be cured.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from tfmeta.inner.input_specs import input_specs
from tfmeta.inner.keras_internals import renormalises
from tfmeta.inner.network import PureNetwork
from tfmeta.inner.traced_layers import CALLS, TracedLayers, called_nodes, library_of

# Constant almost everywhere: that they have no derivative is right. Gradients that a program
# stops itself are stopped on purpose.
_FLAT = {"ZerosLike", "OnesLike", "StopGradient", "LinSpace", "Range", "PreventGradient"}

_REMEDIES = {
    "ResizeBilinearGrad": "Use interpolation='nearest', or a transposed convolution.",
    "ResizeBicubicGrad": "Use interpolation='nearest', or a transposed convolution.",
    "ScaleAndTranslateGrad": "Use interpolation='nearest', or a transposed convolution.",
    "FakeQuantWithMinMaxArgsGradient": "Quantise after meta-training.",
    "FakeQuantWithMinMaxVarsGradient": "Quantise after meta-training.",
    "FakeQuantWithMinMaxVarsPerChannelGradient": "Quantise after meta-training.",
    "SoftsignGrad": "Write the activation as lambda x: x / (1 + keras.ops.abs(x)), or use tanh.",
    "LRNGrad": "Use batch or layer normalisation.",
    "Dilation2DBackpropInput": "Use max pooling.",
    "Dilation2DBackpropFilter": "Use max pooling.",
    "MaxPoolGradWithArgmax": "Use keras.layers.MaxPooling2D.",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A layer through which second derivatives are not exact.

    Attributes:
        layer: its name.
        layer_class: the name of its class.
        operation: the TensorFlow operation, or the part of the layer, that is at fault.
        refused: whether TensorFlow raises an error, rather than give a wrong number.
        remedy: what to do, a sentence.
    """

    layer: str
    layer_class: str
    operation: str
    refused: bool
    remedy: str

    def __str__(self):
        fault = "does not have" if self.refused else "silently drops"
        return (
            f"{self.layer} ({self.layer_class}): the derivative of {self.operation}, which "
            f"TensorFlow {fault}. {self.remedy}"
        )


def check_exactness(network: keras.Model, adapted: Sequence[int] | None = None) -> list[Finding]:
    """Finds the layers of a network through which second derivatives are not exact.

    The network is traced, not run, and is left as it is. A network that does not say what shape
    its inputs have is not checked.

    Example:
        >>> import keras
        >>> from tfmeta.inner import check_exactness
        >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
        >>> check_exactness(network)
        []

    Args:
        network: a built `keras.Model` with one output.
        adapted: indices of the trainable weights that the inner loop changes; None: all.

    Returns:
        A list of `Finding`, one a layer and operation, in the order of the network.
    """
    findings = _stopped_by_design(network)
    specs = input_specs(network)
    if specs is None:
        return findings
    graph, sources, targets, layers = _trace(network, specs, adapted)
    library = library_of(graph)
    for op in _between(graph, sources, targets):
        for operation, refused in _faults(op, library):
            layer = layers.of(op)
            finding = Finding(
                getattr(layer, "name", network.name),
                type(layer or network).__name__,
                operation,
                refused,
                _REMEDIES.get(operation, "Replace the layer."),
            )
            if finding not in findings:
                findings.append(finding)
    return findings


def _stopped_by_design(network):
    findings = []
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.SpectralNormalization):
            part = "its kernel's norm (gradients are stopped by design)"
            remedy = "Leave the wrapper out."
        elif isinstance(layer, keras.layers.BatchNormalization) and renormalises(layer):
            part = "its renormalisation (gradients are stopped by design)"
            remedy = "Use renorm=False."
        else:
            continue
        findings.append(Finding(layer.name, type(layer).__name__, part, False, remedy))
    return findings


def _trace(network, specs, adapted):
    """Traces the gradient of a loss: its graph, what it is a function of, itself, and layers.

    Where an operation lacks even the first derivative, the loss stands in for the gradient.
    """
    pure, layers = PureNetwork(network), TracedLayers()
    found: dict[str, Any] = {}

    def first_gradient(weights, state, inputs):
        layers.watch(ops.get_default_graph())
        chosen = weights if adapted is None else [weights[index] for index in adapted]
        with tf.GradientTape() as tape:
            tape.watch(chosen)
            outputs, _, _ = pure(weights, state, inputs, batch_statistics=True)
            # Squared, so that what arrives from the loss is a function of the weights too.
            loss = tf.reduce_sum(tf.square(outputs))
        try:
            gradients = tape.gradient(loss, chosen)
        except LookupError:
            gradients = [loss]
        targets = [tf.convert_to_tensor(value) for value in gradients if value is not None]
        found.update(sources=weights, targets=targets)
        return targets

    def like(variables):
        return [tf.TensorSpec(v.shape, v.dtype) for v in variables]

    concrete = tf.function(first_gradient, autograph=False).get_concrete_function(
        like(network.trainable_variables), like(network.non_trainable_variables), specs
    )
    return concrete.graph, found["sources"], found["targets"], layers


def _between(graph, sources, targets):
    """Operations through which the targets depend differentiably on the sources, in order."""
    reached, forward = {id(t) for t in sources}, []
    for op in graph.get_operations():
        if op.type not in _FLAT and any(id(t) in reached for t in op.inputs):
            outputs = [id(t) for t in op.outputs if _carries_derivatives(t)]
            forward.append((op, outputs))
            reached.update(outputs)
    needed, between = {id(t) for t in targets}, []
    for op, outputs in reversed(forward):
        if not needed.isdisjoint(outputs):
            between.append(op)
            needed.update(id(t) for t in op.inputs)
    return between[::-1]


def _carries_derivatives(tensor):
    return tensor.dtype.is_floating or tensor.dtype.is_complex or tensor.dtype == tf.variant


def _faults(op, library):
    """The faulty operation types of an operation: itself, or what the functions it calls hold."""
    called = [node.op for node in called_nodes(op, library) if node.op in _REMEDIES]
    faults = [(name, _registered(name) == "missing") for name in sorted(set(called))]
    if op.type in CALLS:
        return faults
    try:
        dropped = ops.get_gradient_function(op) is None
    except LookupError:
        return [*faults, (op.type, True)]
    return [*faults, (op.type, False)] if dropped else faults


def _registered(op_type):
    try:
        return "dropped" if ops.gradient_registry.lookup(op_type) is None else "exact"
    except LookupError:
        return "missing"
