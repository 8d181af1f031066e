"""What users pass, as tensors: arrays, nested lists of numbers, and structures of arrays."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.tasks.task import Examples, unpack_tasks


def input_tensors(part: Any, name: str):
    """Tensors of a set's inputs.

    Args:
        part: an array, nested lists of numbers, or a dict, list or tuple of arrays.
        name: of the argument, for the error.

    Raises:
        ValueError: where a part can't be one array, such as lists of different lengths.
    """
    if isinstance(part, (dict, list, tuple)) and any(map(_is_array, keras.tree.flatten(part))):
        return keras.tree.map_structure(lambda leaf: _tensor(leaf, name), part)
    return _tensor(part, name)


def texts_as_tensors(x: Any):
    """The same inputs with arrays of text as tensors, which Keras' adapters take."""
    if not isinstance(x, (dict, list, tuple)) and not isinstance(x, np.ndarray):
        return x
    return keras.tree.map_structure(lambda leaf: tf.constant(leaf) if _is_text(leaf) else leaf, x)


def _is_text(leaf):
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in "USO"


def target_tensors(part: Any, name: str):
    """A tensor of a set's targets, truth values as 0 and 1; None stays None.

    Raises:
        ValueError: for text, and where the targets can't be one array.
    """
    if part is None:
        return None
    tensor = _tensor(part, name)
    check_numbers(tensor, name)
    return tf.cast(tensor, tf.int32) if tensor.dtype == tf.bool else tensor


def check_numbers(targets, name: str) -> None:
    """Raises a ValueError for targets (a tensor, an array or a spec) that are text."""
    if tf.as_dtype(targets.dtype) == tf.string:
        raise ValueError(
            f"{name} must be numbers. Received: text. Number the classes from 0, as "
            "names, numbers = np.unique(labels, return_inverse=True) does."
        )


def batch_tensors(x: Any, y: Any = None, sample_weight: Any = None) -> tuple:
    """The tensors of `(x, y, sample_weight)`, where x is `(support_x, support_y, query_x, ...)`.

    Raises:
        ValueError: where x has another number of parts, or a part can't be one array.
    """
    task = unpack_tasks(x, y, sample_weight)
    inputs: tuple = (
        input_tensors(task.support.inputs, "support_x"),
        target_tensors(task.support.targets, "support_y"),
        input_tensors(task.query.inputs, "query_x"),
    )
    weights = _weights(task.support.weights, "support_weights")
    query_weights = _weights(sample_weight, "query_weights")
    inputs = inputs if weights is None else (*inputs, weights)
    return inputs, target_tensors(y, "query_y"), query_weights


def support_examples(support_x: Any, support_y: Any, support_weights: Any = None) -> Examples:
    """`Examples` of tensors, from arrays, nested lists of numbers, or structures of arrays."""
    return Examples(
        input_tensors(support_x, "support_x"),
        target_tensors(support_y, "support_y"),
        _weights(support_weights, "support_weights"),
    )


def _weights(part, name):
    return None if part is None else _tensor(part, name)


def _is_array(leaf) -> bool:
    return hasattr(leaf, "shape")


def _tensor(part, name):
    if isinstance(part, (tf.RaggedTensor, keras.KerasTensor)):
        return part
    try:
        return tf.convert_to_tensor(part)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be one array of numbers. Received: {type(part).__name__}, which "
            f"TensorFlow can't make a tensor of ({str(error).splitlines()[0]}). Give every example "
            "the same size; pad tasks of different sizes, with weights 0 for what is padded."
        ) from None
