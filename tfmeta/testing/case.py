"""A small problem in float64 on which a learner is checked."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmeta.tasks.task import Examples, Task

KINDS = ("regression", "classification")
TASKS, SUPPORT, QUERIES, INPUTS, OUTPUTS = 3, 6, 5, 2, 3


@dataclasses.dataclass(frozen=True)
class Case:
    """Makes the learner again and again, with the same weights, and has tasks for it.

    Attributes:
        make_learner: function of a built network to a learner that is not compiled.
        batch: `((support_x, support_y, query_x), query_y)`, numpy arrays [T, ...].
        kind: "regression" or "classification" of integer labels.
        oracle: None, or the meta-gradient of one task by another way.
    """

    make_learner: Callable[[keras.Model], Any]
    batch: tuple
    kind: str
    oracle: Callable[..., list] | None = None

    def learner(self):
        """A compiled learner of a small tanh network in float64, the same at each call."""
        (support_x, support_y, _), query_y = self.batch
        keras.utils.set_random_seed(3)
        if self.kind == "regression":
            outputs, loss = support_y.shape[-1], keras.losses.MeanSquaredError()
        else:
            outputs = int(max(support_y.max(), query_y.max())) + 1
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        layers = [
            keras.Input(support_x.shape[2:], dtype="float64"),
            keras.layers.Flatten(dtype="float64"),
            keras.layers.Dense(4, "tanh", dtype="float64", name="hidden"),
            keras.layers.Dense(outputs, dtype="float64", name="head"),
        ]
        learner = self.make_learner(keras.Sequential(layers))
        learner.compile(keras.optimizers.Adam(0.01), loss)
        return learner

    def task(self, index: int) -> Task:
        """One task of the batch."""
        (support_x, support_y, query_x), query_y = self.batch
        support, query = (
            Examples(tf.constant(x[index]), tf.constant(y[index]))
            for x, y in ((support_x, support_y), (query_x, query_y))
        )
        return Task(support, query)


def made_up_tasks(kind: str) -> tuple:
    """A batch of three tasks, float64; every class is in each support set."""
    rng = np.random.default_rng(0)
    support_x, query_x = (rng.normal(size=(TASKS, n, INPUTS)) for n in (SUPPORT, QUERIES))
    if kind == "regression":
        support_y, query_y = (rng.normal(size=(TASKS, n, OUTPUTS)) for n in (SUPPORT, QUERIES))
    else:
        labels = np.arange(SUPPORT, dtype="int32") % OUTPUTS
        support_y = np.stack([rng.permutation(labels) for _ in range(TASKS)])
        query_y = rng.integers(OUTPUTS, size=(TASKS, QUERIES)).astype("int32")
    return (support_x, support_y, query_x), query_y
