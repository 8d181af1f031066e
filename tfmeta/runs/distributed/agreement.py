"""What the workers of a run know of each other: each gives its numbers or its facts, all see all.

A decision that touches the steps (when to stop, how many steps a call runs, where to resume) is
taken from these alone, so every worker takes the same one.
"""

import json
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class Agreement:
    """Exchanges over a strategy. All workers must call the same methods in the same order.

    Args:
        strategy: of the run.
        workers: number of its processes; one asks nobody.
    """

    def __init__(self, strategy: tf.distribute.Strategy, workers: int = 1):
        self._strategy = strategy
        self._workers = workers
        self._replicas_per_worker = strategy.num_replicas_in_sync // workers
        self._gather = tf.function(
            self._of_replicas, [tf.TensorSpec([None], tf.int64)], autograph=False
        )

    def everyones(self, values: Sequence[int]) -> np.ndarray:
        """Whole numbers of each worker, int64 [workers, len(values)], the chief's first."""
        if self._workers == 1:
            return np.asarray([values], np.int64)
        gathered = self._gather(tf.constant(values, tf.int64)).numpy()
        return gathered[:: self._replicas_per_worker]

    def everyones_facts(self, facts: dict) -> list[dict]:
        """What each worker says of itself, as JSON can hold it, the chief's first."""
        text = json.dumps(facts).encode()
        lengths = self.everyones([len(text)])[:, 0]
        padded = np.zeros(lengths.max(), np.int64)
        padded[: len(text)] = np.frombuffer(text, np.uint8)
        rows = self.everyones(padded)
        return [
            json.loads(bytes(row[:length].astype(np.uint8)))
            for row, length in zip(rows, lengths, strict=True)
        ]

    def _of_replicas(self, values):
        return self._strategy.gather(
            self._strategy.run(lambda own: own[tf.newaxis], (values,)), axis=0
        )
