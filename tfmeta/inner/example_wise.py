"""Which Keras operations answer each example of a batch by itself, known by their types.

What is not known here may still do so; `batch_dependence` tries it out.
"""

import keras
import numpy as np

from tfmeta.inner.keras_internals import functional_graph, graph_nodes, symbolic_calls

_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
_LAYERS = frozenset(
    getattr(keras.layers, name)
    for name in (
        *("Dense", "Embedding", "Flatten", "Reshape", "Permute", "RepeatVector", "Identity"),
        *("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
        *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        *("SeparableConv1D", "SeparableConv2D"),
        *(f"{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)),
        *(f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)),
        *(f"{kind}{n}D" for kind in ("Cropping", "ZeroPadding", "UpSampling") for n in (1, 2, 3)),
        *("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Rescaling"),
        *_MERGING,
        *("BatchNormalization", "LayerNormalization", "GroupNormalization"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("GaussianDropout", "GaussianNoise", "InputLayer"),
    )
)
_ELEMENTWISE = frozenset(
    (
        *("Abs", "Add", "Cast", "Divide", "Exp", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu"),
        *("Maximum", "Minimum", "Multiply", "Negative", "Power", "Relu", "Relu6", "Sigmoid"),
        *("Silu", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide"),
    )
)


def answers_alone(operation, *, training: bool) -> bool:
    """Whether an operation is known to answer each example without regard to the others.

    Example:
        >>> import keras
        >>> from tfmeta.inner.example_wise import answers_alone
        >>> normalization = keras.layers.BatchNormalization()
        >>> answers_alone(normalization, training=True)
        False
        >>> normalization.trainable = False
        >>> answers_alone(normalization, training=True)
        True

    Args:
        operation: a layer, a model, or an operation of `keras.ops`.
        training: whether it runs in training mode, apart from random numbers.
    """
    graph = functional_graph(operation)
    if graph is not None:
        return all(answers_alone(n.operation, training=training) for n in graph_nodes(graph))
    if not isinstance(operation, keras.layers.Layer):
        kind = type(operation)
        known = kind.__module__.startswith("keras.src.ops.") and kind.__name__ in _ELEMENTWISE
        calls = symbolic_calls(operation)
        return known and bool(calls) and all(_keeps_rows(*call) for call in calls)
    if type(operation) not in _LAYERS or operation.activity_regularizer is not None:
        return False
    if isinstance(operation, keras.layers.BatchNormalization) and training and operation.trainable:
        return False
    if not _is_known(getattr(operation, "activation", None)):
        return False
    calls = symbolic_calls(operation)
    axes = _axes(operation)
    if not calls and (type(operation).__name__ in _MERGING or min(axes, default=0) < -1):
        return False  # It depends on ranks, which are not known.
    return 0 not in axes and all(_layer_keeps_rows(operation, *call) for call in calls)


def _layer_keeps_rows(layer, tensors, others):
    ranks = {_rank(tensor) for tensor in tensors}
    if None in ranks or 0 in ranks:
        return False
    if getattr(layer, "activation", None) is not None and 1 in ranks:
        return False  # A softmax over the last axis, which is the batch.
    if any(axis % rank == 0 for axis in _axes(layer) for rank in ranks):
        return False
    if type(layer).__name__ in _MERGING:
        return _keeps_rows(tensors, others)
    if isinstance(layer, keras.layers.Rescaling):
        return _keeps_rows(tensors, [layer.scale, layer.offset])
    return True


def _keeps_rows(tensors, others):
    """Whether elementwise arguments meet row by row: no broadcasting moves or fills axis 0."""
    ranks = {_rank(tensor) for tensor in tensors}
    if len(ranks) != 1 or ranks & {None, 0} or len({tensor.shape[0] for tensor in tensors}) != 1:
        return False
    (rank,) = ranks
    shapes = [np.shape(value) if value is not None else () for value in others]
    return all(len(shape) < rank or (len(shape) == rank and shape[:1] == (1,)) for shape in shapes)


def _rank(tensor):
    return None if tensor.shape is None else len(tensor.shape)


def _axes(layer):
    axes = getattr(layer, "axis", None)
    return [] if axes is None else list(axes) if isinstance(axes, (list, tuple)) else [axes]


def _is_known(activation):
    """Whether an activation is one of Keras', which look along the last axis at most."""
    module = getattr(activation, "__module__", None) or ""
    return activation is None or module.startswith("keras.src.activations.")
