"""Batches of tasks as users pass them: as tensors, and as Keras' loops take them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.tasks.task import Examples, Task, unpack_tasks


def plain_batch(x: Any, y: Any = None, sample_weight: Any = None) -> tuple:
    """One batch as `((support_x, support_y, query_x, ...), query_y, ...)`, without parts of None.

    Args:
        x: of a batch, or a whole batch as a `tfmeta.tasks.Task`.
        y: query targets [T, Q, ...], or None.
        sample_weight: of queries or tasks, or None.

    Returns:
        A tuple of one, two or three parts.
    """
    if isinstance(x, Task):
        support, query = x
        x, y, sample_weight = (*support[:2], query.inputs, support.weights), query[1], query[2]
    if _ends_in_none(x):
        x = tuple(x[:3])
    if y is None:
        return (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def plain_data(x: Any, y: Any = None, sample_weight: Any = None) -> tuple:
    """Data of `fit`, `evaluate` or `predict` with each batch as `plain_batch` gives it.

    Args:
        x: arrays, a `Task` of arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a
            generator.
        y: targets beside arrays.
        sample_weight: beside arrays.

    Returns:
        (x, y, sample_weight). A stream whose batches are plain is returned as it is.
    """
    if isinstance(x, tf.data.Dataset):
        return (x if _is_plain(x.element_spec) else _mapped(x)), y, sample_weight
    if isinstance(x, keras.utils.PyDataset):
        plain = not x.num_batches or _is_plain(x[0])
        return (x if plain else MappedPyDataset(x, _plain_element)), y, sample_weight
    if hasattr(x, "__next__"):
        return (_plain_element(batch) for batch in x), y, sample_weight
    parts = plain_batch(x, y, sample_weight)
    return (*parts, *(None,) * (3 - len(parts)))


class MappedPyDataset(keras.utils.PyDataset):
    """A `PyDataset` whose batches are another's, changed by a function.

    Args:
        dataset: the other.
        function: of a batch to a batch.
    """

    def __init__(self, dataset: keras.utils.PyDataset, function: Callable):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset, self._function = dataset, function

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __len__(self):
        return len(self._dataset)

    def __getitem__(self, index):
        return self._function(self._dataset[index])

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


def _mapped(dataset):
    if isinstance(dataset.element_spec, Task):
        return dataset.map(_plain_element)
    # `tf.data` hands the parts of a plain tuple over one by one.
    return dataset.map(lambda *parts: _plain_element(parts))


def _plain_element(element):
    """`plain_batch` of a batch as a stream gives it."""
    if isinstance(element, Task) or not isinstance(element, tuple):
        return plain_batch(element)
    return plain_batch(*element)


def _is_plain(element) -> bool:
    if isinstance(element, Task):
        return False
    if not isinstance(element, tuple):
        return True
    return not _ends_in_none(element[0]) and not any(map(_is_none, element[1:]))


def _ends_in_none(x) -> bool:
    return isinstance(x, (tuple, list)) and len(x) == 4 and _is_none(x[3])


def _is_none(part) -> bool:
    return part is None or type(part).__name__ == "NoneTensorSpec"


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


def lists_as_arrays(part: Any) -> Any:
    """Nested lists of numbers as one array; anything else as it is."""
    if not isinstance(part, (list, tuple)) or not keras.tree.flatten(part):
        return part
    numbers = (bool, int, float)
    return (
        np.asarray(part) if all(isinstance(x, numbers) for x in keras.tree.flatten(part)) else part
    )


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
