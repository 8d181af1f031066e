"""A query set in one piece, from whatever Keras takes for data."""

import itertools
from typing import Any

import keras
import tensorflow as tf

from tfmeta.learners.batch import batch_checks


def whole_set(x: Any, y: Any = None, sample_weight: Any = None, steps: int | None = None) -> tuple:
    """Arrays of all examples, where batches come one by one.

    Args:
        x: arrays, or a stream of batches: a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
            generator.
        y: targets beside arrays.
        sample_weight: beside arrays.
        steps: number of batches of a stream; None: all.

    Returns:
        (x, y, sample_weight), of arrays or tensors.

    Raises:
        ValueError: for an endless stream without `steps`.
    """
    if isinstance(x, keras.utils.PyDataset):
        batch_checks.check_ends(x, steps, "steps", "Collecting the query set of")
        batches = (x[index] for index in range(steps or x.num_batches))
    elif isinstance(x, tf.data.Dataset):
        batch_checks.check_ends(x, steps, "steps", "Collecting the query set of")
        batches = iter(x)
    elif hasattr(x, "__next__"):
        batches = x
    else:
        return x, y, sample_weight
    parts = [
        keras.utils.unpack_x_y_sample_weight(batch) for batch in itertools.islice(batches, steps)
    ]
    if not parts:
        raise ValueError("A query set must hold an example. Received: a stream without a batch.")
    # Structures of inputs stay as they are; None of a part stays None.
    return tuple(
        None if column[0] is None else keras.tree.map_structure(_joined, *column)
        for column in zip(*parts, strict=True)
    )


def _joined(*arrays):
    return tf.concat([tf.convert_to_tensor(array) for array in arrays], axis=0)
