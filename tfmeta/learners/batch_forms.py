"""Batches of tasks as Keras' loops take them, from the forms in which users have them."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfmeta.tasks.task import Task


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
