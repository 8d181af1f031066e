"""Which Keras operations answer each example of a batch by itself, known by their types.

What is not known here may still do so; `batch_dependence` tries it out.
"""

import keras

from tfmeta.inner.keras_internals import functional_graph, graph_nodes

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
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
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
        return kind.__module__.startswith("keras.src.ops.") and kind.__name__ in _ELEMENTWISE
    if type(operation) not in _LAYERS or operation.activity_regularizer is not None:
        return False
    if isinstance(operation, keras.layers.BatchNormalization):
        return not (training and operation.trainable)
    activation = getattr(operation, "activation", None)
    known = activation is None or getattr(activation, "__module__", "").startswith("keras.")
    axes = getattr(operation, "axis", None)
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    return known and 0 not in axes
