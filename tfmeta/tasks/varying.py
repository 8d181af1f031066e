"""Image tasks of varying ways and shots, padded to one size by examples of weight 0.

Ways and shots are drawn evenly from a range, or as Meta-Dataset draws them (Triantafillou et al.
2020, "Meta-Dataset", section 3.2 and appendix): an imbalanced support set, whose size grows with
the classes' own numbers of examples.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfmeta.tasks.draws import choose, random_bits, uniform, uniform_integers
from tfmeta.tasks.stream import check_whole_number

META_DATASET = "meta_dataset"
# The paper's numbers: support examples of a task, and of a class as far as the size counts them.
MOST_SUPPORT, MOST_OF_A_CLASS = 500, 100
_SPREAD = 2.0  # a class's weight is its number of examples times 1/2 to 2


class Range(NamedTuple):
    """A number of a task: the least and the most of it."""

    least: int
    most: int

    @property
    def varies(self) -> bool:
        """Whether there is more than one number."""
        return self.least < self.most


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many classes and examples tasks have.

    Attributes:
        ways: classes a task.
        shots: support examples a class; with `meta_dataset` the most that a class may have.
        queries: query examples a class; with `meta_dataset` at most so many.
        meta_dataset: whether shots are drawn as Meta-Dataset draws them.
        support: support examples of a task, at most.
        query: query examples of a task, at most.
    """

    ways: Range
    shots: Range
    queries: int
    meta_dataset: bool
    support: int
    query: int

    @property
    def vary(self) -> bool:
        """Whether tasks differ in size."""
        return self.ways.varies or self.shots.varies or self.meta_dataset

    def as_json(self) -> dict:
        """What `.info` says of sizes: the most of each, and the least where it differs."""
        found: dict[str, Any] = {
            "ways": self.ways.most,
            "shots": self.shots.most,
            "queries": self.queries,
        }
        if not self.vary:
            return found
        return {
            **found,
            "least_ways": self.ways.least,
            "least_shots": self.shots.least,
            "drawn": META_DATASET if self.meta_dataset else "uniform",
            "support_examples": self.support,
            "query_examples": self.query,
        }


def sizes_of(counts: np.ndarray, ways, shots, queries: int) -> Sizes:
    """The sizes of tasks of a pool.

    Args:
        counts: examples of each class of the pool.
        ways: a number, or (least, most).
        shots: a number, (least, most), or "meta_dataset".
        queries: query examples a class.

    Raises:
        ValueError: for what is no such number or range.
    """
    ways = _range("ways", ways, 1)
    if not isinstance(shots, str):
        shots = _range("shots", shots, 1)
        check_whole_number("queries", queries, 0)
        most = ways.most
        return Sizes(ways, shots, queries, False, most * shots.most, most * queries)
    if shots != META_DATASET:
        raise ValueError(
            f"shots must be a number, (least, most) or {META_DATASET!r}. Received: {shots!r}. "
            "Pass e.g. shots=(1, 10)."
        )
    check_whole_number("queries", queries, 1)
    if ways.most > MOST_SUPPORT:
        raise ValueError(
            f"A task has at most {MOST_SUPPORT} support examples, one a class at least. Received: "
            f"ways={tuple(ways)}. Lower ways."
        )
    # As many classes as there are, as in the paper.
    ways = Range(ways.least, max(ways.least, min(ways.most, len(counts))))
    fewest = min(queries, int(counts.min()) // 2)
    left = np.sort(np.minimum(MOST_OF_A_CLASS, counts - fewest))[::-1][: ways.most]
    support = max(ways.most, min(MOST_SUPPORT, int(left.sum())))
    largest = min(int(counts.max()) - fewest, support)
    asked = min(queries, int(counts.max()) // 2)
    return Sizes(ways, Range(1, largest), asked, True, support, ways.most * asked)


def block_sampler(images, starts, counts, sizes: Sizes, keys: dict[str, int], shown):
    """The function `(first, tasks) -> tasks` of tasks whose sizes vary.

    Args:
        images: all examples, one class after another.
        starts: position of each class's first example, int64 [classes].
        counts: examples of each class, int32 [classes].
        sizes: of the tasks.
        keys: of the draws, by purpose.
        shown: `Shown`.

    Returns:
        A function to `((support_x, support_y, query_x, support_weights), query_y, query_weights)`.
    """
    ways, longest = sizes.ways.most, int(tf.reduce_max(counts))
    slots = min(longest, sizes.shots.most + sizes.queries)

    def sample_block(first, tasks):
        def bits(purpose, words):
            return random_bits(keys[purpose], first, tasks, words)

        classes = choose(bits("classes", counts.shape[0]), ways)  # [T, ways]
        number = uniform_integers(bits("ways", 1)[:, 0], sizes.ways.least, sizes.ways.most)
        active = tf.range(ways) < number[:, tf.newaxis]
        own = tf.gather(counts, classes)
        scores = tf.reshape(bits("examples", ways * longest), [tasks, ways, longest])
        chosen = choose(scores, slots, own)
        chosen = tf.cast(chosen, tf.int64) + tf.gather(starts, classes)[..., tf.newaxis]
        if shown.rotate:
            turns = bits("rotations", ways) & 3
            chosen += shown.total * tf.cast(turns, tf.int64)[..., tf.newaxis]
        supported, asked = _drawn(sizes, own, active, bits)
        column = tf.range(slots)
        ends = (supported + asked)[..., tf.newaxis]
        supported = supported[..., tf.newaxis]

        def gather_set(inside, size, purpose):
            flat = tf.reshape(inside, [tasks, ways * slots])
            words = tf.maximum(bits(purpose, ways * slots), tf.int32.min + 1)
            places = choose(tf.where(flat, words, tf.int32.min), size)
            counts_here = tf.gather(flat, places, batch_dims=1)
            # Filling repeats an example of the first class, so that it is an example of the task.
            places = tf.where(counts_here, places, 0)
            labels = places // slots
            if shown.label_scope == "split":
                labels = tf.gather(classes, labels, batch_dims=1)
            rows = tf.gather(tf.reshape(chosen, [tasks, ways * slots]), places, batch_dims=1)
            return shown(tf.gather(images, rows)), labels, tf.cast(counts_here, tf.float32)

        support_x, support_y, support_weights = gather_set(
            column < supported, sizes.support, "support order"
        )
        query_x, query_y, query_weights = gather_set(
            (column >= supported) & (column < ends), sizes.query, "query order"
        )
        return (support_x, support_y, query_x, support_weights), query_y, query_weights

    return sample_block


def _drawn(sizes: Sizes, own, active, bits):
    """Support and query examples of each class, int32 [T, ways]; 0 for a class that is not there.

    Args:
        sizes: of the tasks.
        own: examples of each class, int32 [T, ways].
        active: which classes a task has, bool [T, ways].
        bits: function of (purpose, words) to random words [T, words].
    """
    if sizes.meta_dataset:
        supported, asked = _as_meta_dataset(sizes, own, active, bits)
    else:
        drawn = uniform_integers(bits("shots", 1)[:, 0], sizes.shots.least, sizes.shots.most)
        supported = tf.broadcast_to(drawn[:, tf.newaxis], tf.shape(own))
        asked = tf.fill(tf.shape(own), sizes.queries)
    return tf.where(active, supported, 0), tf.where(active, asked, 0)


def _as_meta_dataset(sizes: Sizes, own, active, bits):
    """The paper's draws, for each class of each task.

    With n_c the examples of class c among the task's classes C: queries a class
    q = min(10, min_c floor(n_c / 2)); support examples |S| = min(500, sum_c ceil(beta min(100,
    n_c - q))) with beta uniform in (0, 1]; shots k_c = min(floor(R_c (|S| - |C|)) + 1, n_c - q)
    with R_c the share of exp(alpha_c) n_c in their sum, alpha_c uniform in [log 0.5, log 2).
    """
    ways = sizes.ways.most
    fewest = tf.reduce_min(tf.where(active, own, tf.int32.max), axis=1, keepdims=True)
    asked = tf.minimum(sizes.queries, fewest // 2)  # [T, 1]
    left = own - asked
    beta = 1.0 - tf.cast(uniform(bits("shots", 1), 0.0, 1.0), tf.float64)  # [T, 1]
    counted = tf.cast(tf.minimum(MOST_OF_A_CLASS, left), tf.float64)
    sums = tf.reduce_sum(tf.where(active, tf.math.ceil(beta * counted), 0), axis=1, keepdims=True)
    total = tf.minimum(tf.constant(MOST_SUPPORT, tf.float64), sums)
    alpha = tf.cast(uniform(bits("imbalance", ways), -1.0, 1.0), tf.float64)  # of base 2
    weights = tf.where(active, tf.pow(tf.constant(_SPREAD, tf.float64), alpha), 0)
    weights *= tf.cast(own, tf.float64)
    shares = weights / tf.reduce_sum(weights, axis=1, keepdims=True)
    classes = tf.cast(tf.reduce_sum(tf.cast(active, tf.int32), axis=1, keepdims=True), tf.float64)
    shots = tf.cast(tf.math.floor(shares * (total - classes)), tf.int32) + 1
    return tf.minimum(shots, left), tf.broadcast_to(asked, tf.shape(own))


def _range(name: str, value, least: int) -> Range:
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if pair is None:
        check_whole_number(name, value, least)
        return Range(value, value)
    if len(pair) != 2:
        raise ValueError(
            f"{name} must be a number, or the least and the most. Received: {value!r}. Pass e.g. "
            f"{name}=(2, 5)."
        )
    check_whole_number(name, pair[0], least)
    check_whole_number(name, pair[1], pair[0])
    return Range(*pair)
