"""Class weights of `fit` as weights of queries, before Keras takes a task's labels for one label.

Keras computes one weight an element of the first axis, which is a task here. A learner computes
the weight of each query by its own class, and hands Keras sample weights.
"""

import math
import types
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfmeta.learners.batch.batches import MappedPyDataset


class ClassWeights:
    """Weights of queries by their classes.

    Args:
        class_weight: from classes, whole numbers from 0 on, to weights; a class that is not in it
            weighs 1.
        kind: the `inner.LossKind` of the learner's loss.
        output_shape: of the network, with its batch axis; None where it is not known.

    Raises:
        ValueError: unless `class_weight` is such a dict.
    """

    def __init__(self, class_weight, kind, output_shape=None):
        good = isinstance(class_weight, Mapping) and all(
            isinstance(label, (int, np.integer))
            and isinstance(weight, (int, float, np.number))
            and label >= 0
            and 0 <= weight < math.inf
            for label, weight in class_weight.items()
        )
        if not good or not class_weight:
            raise ValueError(
                "class_weight must be a dict from class numbers to finite weights, 0 or more. "
                f"Received: class_weight={class_weight!r}. Pass for instance {{0: 1.0, 1: 5.0}}."
            )
        size = int(max(class_weight)) + 1
        self._table = np.array([class_weight.get(c, 1.0) for c in range(size)], np.float32)
        self._kind = kind
        self._output_rank = len(output_shape) + 1 if isinstance(output_shape, tuple) else None

    def of(self, targets):
        """Weights of queries.

        Args:
            targets: query targets [T, Q, ...], an array or a tensor.

        Returns:
            float32 [T, Q], or [T, Q, ...] where each element of a query has a label, an array of
            an array, a tensor of a tensor.

        Raises:
            ValueError: for targets of several labels a query.
        """
        if tf.is_tensor(targets):
            labels = self._labels(targets, tf.argmax)
            labels = tf.cast(tf.round(tf.cast(labels, tf.float64)), tf.int64)
            known = (labels >= 0) & (labels < len(self._table))
            weights = tf.gather(self._table, tf.where(known, labels, tf.zeros_like(labels)))
            return tf.where(known, weights, tf.ones_like(weights))
        labels = np.round(self._labels(np.asarray(targets), np.argmax)).astype(np.int64)
        known = (labels >= 0) & (labels < len(self._table))
        return np.where(known, self._table[np.where(known, labels, 0)], np.float32(1.0))

    def _labels(self, targets, argmax):
        """Class numbers [T, Q, ...] of targets."""
        rank, last = len(targets.shape), targets.shape[-1]
        if self._kind.target == "one_hot":
            return argmax(targets, axis=-1)
        whole = rank == (self._output_rank or 3) and rank > 2
        if self._kind.target == "binary" and whole and last != 1:
            raise ValueError(
                "class_weight needs one class a query. Received: class_weight with targets of "
                f"{last} labels each, of shape {tuple(targets.shape)}. Pass sample_weight, "
                "[tasks, queries]."
            )
        if self._kind.is_classification:
            return targets[..., 0] if whole and last == 1 else targets
        if rank == 2:
            return targets
        return targets[..., 0] if last == 1 else argmax(targets, axis=-1)


def with_class_weights(weights: ClassWeights, x):
    """A stream of batches of tasks with weights of queries.

    Args:
        weights: what weights them.
        x: a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a generator of `(x, y)`.

    Raises:
        ValueError: for another kind of data, or for batches that have weights already.
    """

    def weighted(*batch):
        batch = batch[0] if len(batch) == 1 else batch
        if len(batch) != 2:
            raise ValueError(
                "class_weight gives queries their weights. Received: class_weight and batches of "
                f"{len(batch)} parts, where (x, query_y) is needed. Leave out one kind of weights."
            )
        return batch[0], batch[1], weights.of(batch[1])

    if isinstance(x, tf.data.Dataset):
        return x.map(weighted)
    if isinstance(x, keras.utils.PyDataset):
        return MappedPyDataset(x, lambda batch: weighted(*batch))
    if isinstance(x, types.GeneratorType) or hasattr(x, "__next__"):
        return (weighted(batch) for batch in x)
    raise ValueError(
        "class_weight needs arrays, a tf.data.Dataset, a PyDataset or a generator of (x, query_y). "
        f"Received: class_weight with {type(x).__name__}. Give the tasks sample weights instead."
    )


def split_off_validation(data, share):
    """(training data, validation data): the last share of tasks, as `keras.Model.fit` splits.

    Args:
        data: structure of arrays [T, ...], None parts staying None.
        share: `validation_split`, between 0 and 1.
    """
    count = len(keras.tree.flatten(data)[0])
    end = math.floor(count * (1.0 - share))
    if end in (0, count):
        raise ValueError(
            "validation_split must leave tasks on both sides. Received: "
            f"validation_split={share} of {count} tasks."
        )

    def cut(start, stop):
        return keras.tree.map_structure(lambda a: None if a is None else a[start:stop], data)

    return cut(0, end), cut(end, count)
