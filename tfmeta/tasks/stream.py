"""A stream of tasks: a `tf.data.Dataset` whose element i is a pure function of (seed, i)."""

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

PARALLEL_CALLS = min(4, os.cpu_count() or 1)  # blocks of tasks drawn ahead, at most
# A call of a dataset's function costs more than drawing a small batch.
BLOCK_BYTES, MOST_BATCHES = 2**18, 64  # of tasks drawn in one call


class TaskStream(tf.data.Dataset):
    """Yields one task `((support_x, support_y, query_x), query_y)` an element.

    It is an ordinary `tf.data.Dataset`: `.batch(tasks)`, `.take`, `.prefetch` and Keras' `fit` and
    `evaluate` take it. Two iterations, two processes and a stream started later see the same tasks.
    `.batch` draws a whole batch at once, which is many times faster than task by task and gives
    the same tasks; the batch has a static task axis where every batch is full.

    Example:

    >>> import tfmeta
    >>> stream = tfmeta.tasks.sinusoid("train", shots=5, seed=0)
    >>> (support_x, support_y, query_x), query_y = next(iter(stream.batch(4)))
    >>> support_x.shape
    TensorShape([4, 5, 1])

    Args:
        sample_block: `(first, tasks) -> tasks first .. first + tasks - 1`, every tensor with a
            leading task axis; a pure function in TensorFlow operations. `first` is an int64
            scalar, `tasks` a Python int or an int64 scalar.
        info: what the stream is made of; kept as `.info`, a dict that JSON can hold.
        start: index of the first task.
        count: number of tasks; None for an endless stream.
    """

    def __init__(
        self, sample_block: Callable, info: dict, start: int = 0, count: int | None = None
    ):
        check_whole_number("start", start, 0)
        if count is not None:
            check_whole_number("count", count, 1)
        self._sample_block = sample_block
        self._start = start
        self._count = count
        self._traced: dict[int, tf.data.Dataset] = {}  # endless batches by their size
        self.info = info
        tasks = self._indices(1).map(
            _plain(self.sample), num_parallel_calls=PARALLEL_CALLS, deterministic=True
        )
        self._tasks = tasks.with_options(_without_graph_rewrites())
        super().__init__(self._tasks._variant_tensor)

    def sample(self, index: int | tf.Tensor) -> Any:
        """Returns task `index`, whatever the stream's `start`: a pure function of (seed, index).

        Args:
            index: Python int or integer scalar tensor, 0 or above.

        Returns:
            `((support_x [S, ...], support_y [S, ...], query_x [Q, ...]), query_y [Q, ...])`.
        """
        block = self._sample_block(tf.cast(index, tf.int64), 1)
        return tf.nest.map_structure(lambda tensor: tensor[0], block)

    def sample_block(self, first: int | tf.Tensor, tasks: int | tf.Tensor) -> tuple:
        """Returns the tasks `first`, ..., `first + tasks - 1`, whatever the stream's `start`.

        Also within a compiled step, where XLA computes it.

        Args:
            first: index of the first task, 0 or above.
            tasks: number of tasks, 1 or above.

        Returns:
            As of `sample`, each tensor with a leading axis of tasks.
        """
        return self._sample_block(tf.cast(first, tf.int64), tasks)

    def batch(
        self,
        batch_size: int,
        drop_remainder: bool = False,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> tf.data.Dataset:
        """As `tf.data.Dataset.batch`, with each batch drawn at once."""
        if not isinstance(batch_size, int) or batch_size < 1:
            return super().batch(
                batch_size, drop_remainder, num_parallel_calls, deterministic, name
            )
        count = self._count
        if count is None and num_parallel_calls is None and deterministic is not False:
            return self._endless_batches(batch_size)
        if count is not None and drop_remainder:
            count -= count % batch_size

        def draw(first):
            if count is None or count % batch_size == 0:
                return self._sample_block(first, batch_size)
            left = tf.cast(self._start + count, tf.int64) - first
            return self._sample_block(first, tf.minimum(left, batch_size))

        batches = self._indices(batch_size, count).map(
            _plain(draw),
            num_parallel_calls=num_parallel_calls or PARALLEL_CALLS,
            deterministic=deterministic is not False,
            name=name,
        )
        return batches.with_options(_without_graph_rewrites())

    def batch_parts(self, batch_size: int, parts: int, own: range) -> tf.data.Dataset:
        """Of every batch, some of its equal parts, one after another; the others are not drawn.

        Several devices or hosts share batches this way: part p of batch b holds the tasks that
        follow `start + b * batch_size + p * batch_size // parts`, whoever draws it.

        Args:
            batch_size: tasks of a whole batch.
            parts: into how many a batch is cut.
            own: the parts to draw, a range of consecutive ones within `range(parts)`.

        Returns:
            An endless dataset of tasks `[batch_size // parts, ...]`: the first of `own` of the
            first batch, the second of `own` of it, ..., then those of the second batch.

        Raises:
            ValueError: if a batch can't be cut so, or the stream ends.
        """
        check_whole_number("batch_size", batch_size, 1)
        if parts < 1 or batch_size % parts:
            raise ValueError(
                f"batch_size must be a multiple of the number of parts. Received: {batch_size} "
                f"tasks for {parts} parts. Choose another number of tasks."
            )
        if not own or own.step != 1 or own.start < 0 or own.stop > parts:
            raise ValueError(
                f"own must be consecutive parts of {range(parts)}. Received: {own}. "
                "Pass a range within it."
            )
        if self._count is not None:
            raise ValueError(
                f"A stream that is shared must be endless. Received: count={self._count}. "
                "Leave count out."
            )
        size = batch_size // parts
        if len(own) == parts:
            return self._endless_batches(size)

        def draw(number):
            batch, part = number // len(own), number % len(own) + own.start
            return self._sample_block(self._start + batch * batch_size + part * size, size)

        drawn = tf.data.Dataset.counter().map(
            _plain(draw), num_parallel_calls=PARALLEL_CALLS, deterministic=True
        )
        return drawn.with_options(_without_graph_rewrites())

    def _endless_batches(self, size: int) -> tf.data.Dataset:
        """Consecutive batches, whose drawing is traced once."""
        if not tf.executing_eagerly():  # a data set belongs to its graph
            return self._blocks_cut_apart(size)
        if size not in self._traced:
            self._traced[size] = self._blocks_cut_apart(size)
        return self._traced[size]

    def _blocks_cut_apart(self, size: int) -> tf.data.Dataset:
        """Consecutive batches; small ones are drawn several in one call, and then cut apart."""
        at_once = _batches_of_a_block(size, tf.nest.flatten(self.element_spec))

        def draw(first):
            block = self._sample_block(first, size * at_once)
            if at_once == 1:
                return block
            return tf.nest.map_structure(
                lambda tensor: tf.reshape(tensor, [at_once, size, *tensor.shape[1:]]), block
            )

        batches = self._indices(size * at_once).map(
            _plain(draw), num_parallel_calls=PARALLEL_CALLS, deterministic=True
        )
        if at_once > 1:
            # Not unbatch(): it ends the process where something is empty (TensorFlow 2.21), as
            # queries are where nobody asks for them.
            batches = batches.flat_map(_plain(lambda *b: tf.data.Dataset.from_tensor_slices(b)))
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            batches = batches.apply(endless)
        return batches.with_options(_without_graph_rewrites())

    def _indices(self, step: int, count: int | None = None) -> tf.data.Dataset:
        """The index of every `step`-th task."""
        count = self._count if count is None else count
        if count is None:
            return tf.data.Dataset.counter(self._start, step)
        return tf.data.Dataset.range(self._start, self._start + count, step)

    def _inputs(self):
        return [self._tasks]

    @property
    def element_spec(self) -> Any:
        return self._tasks.element_spec


def _batches_of_a_block(size: int, specs) -> int:
    """How many batches of so many tasks are drawn in one call, by what they take in memory."""
    sizes = [spec.shape.num_elements() for spec in specs]
    if None in sizes or not any(sizes):  # no block of them can be bounded, or is worth it
        return 1
    bytes_of_task = sum(number * spec.dtype.size for number, spec in zip(sizes, specs, strict=True))
    return max(1, min(MOST_BATCHES, BLOCK_BYTES // (size * bytes_of_task)))


def _plain(function: Callable) -> Callable:
    """The same function, whose Python `tf.data` leaves as it is.

    Reading its source to convert it takes as long as tracing it.
    """
    return tf.autograph.experimental.do_not_convert(function)


def _without_graph_rewrites() -> tf.data.Options:
    """Rewriting the graph would copy every pool it captures; two operations gain nothing by it."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return options


def check_whole_number(name: str, value, least: int) -> None:
    """Raises ValueError unless `value` is a whole number of at least `least`."""
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(
            f"{name} must be a whole number of {least} or more. Received: {value!r}. "
            f"Pass {name}={least} or above."
        )


def check_choice(name: str, value, choices: tuple) -> None:
    """Raises ValueError that lists the choices unless `value` is one of them."""
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {known}. Received: {value!r}. Pass one of these.")
