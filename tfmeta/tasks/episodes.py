"""Few-shot classification tasks from a pool of images: classes, then examples, never one twice.

The sampling of Vinyals et al. 2016 ("Matching networks", section 4.1): N ways, K shots, and
queries of the same classes.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfmeta.tasks.draws import choose, draw_key, random_bits
from tfmeta.tasks.memory import on_host
from tfmeta.tasks.pool import Pool
from tfmeta.tasks.stream import TaskStream, check_choice
from tfmeta.tasks.varying import block_sampler, sizes_of

# A factor, since a compiled division by a constant becomes one, and the two differ in the last bit.
SCALE = 1.0 / 255.0
LABEL_SCOPES = ("task", "split")
PURPOSES = (
    *("classes", "rotations", "examples", "support order", "query order"),
    *("ways", "shots", "imbalance"),
)


def classification_stream(
    pool: Pool,
    *,
    name: str,
    split: str,
    ways: int | tuple[int, int],
    shots: int | tuple[int, int] | str,
    queries: int,
    seed: int,
    count: int | None,
    start: int,
    rotate: bool = False,
    label_scope: str = "task",
    details: dict | None = None,
) -> TaskStream:
    """Returns a stream of tasks of the classes of `pool`.

    Task i takes `ways` classes in random order, whose labels are 0 .. ways - 1, and of each
    `shots + queries` examples without replacement; support and query set are in random order. The
    classes of task i do not depend on shots and queries.

    Where ways or shots vary, tasks are padded to the largest: the stream yields
    `((support_x, support_y, query_x, support_weights), query_y, query_weights)`, where weight 0
    marks filling, which counts in no loss, no metric and no batch statistics.

    Args:
        pool: the examples of the split.
        name: of the data set.
        split: of the data set; another split under the same seed draws other numbers.
        ways: classes a task, or the least and the most, of which each task draws a number evenly.
        shots: support examples a class; or the least and the most, of which each task draws a
            number evenly; or "meta_dataset": as Meta-Dataset draws them, another number for each
            class (`varying`). Then `ways` is at most the number of classes.
        queries: query examples a class; with "meta_dataset" at most so many.
        seed: task i is a function of (seed, i).
        count: number of tasks; None for an endless stream.
        start: index of the first task.
        rotate: turn each class of a task by a random multiple of 90 degrees.
        label_scope: "task": labels are 0 .. ways - 1, drawn anew for each task; "split": the
            position of a class among those of the split, the same in every task, for one
            classifier of all classes.
        details: what else `.info` says.

    Returns:
        A `TaskStream` of images float32 [N, height, width, channels] in [0, 1] and labels
        int32 [N].

    Raises:
        ValueError: if the pool has too few classes, or a class too few examples.
    """
    sizes = sizes_of(pool.counts, ways, shots, queries)
    check_choice("label_scope", label_scope, LABEL_SCOPES)
    _check_pool(pool, name, split, sizes)
    info = {
        "name": name,
        "kind": "classification",
        "split": split,
        **sizes.as_json(),
        "seed": seed,
        "classes": len(pool.class_names),
        **_shown(pool),
        "data_sha256": pool.sha256,
        "label_scope": label_scope,
        **(details or {}),
    }
    keys = {purpose: draw_key(seed, name, split, purpose) for purpose in PURPOSES}
    images = on_host(_with_rotations(pool.images) if rotate else pool.images)
    shown = Shown(len(pool.images), pool.scaled, rotate, label_scope)
    sample = block_sampler if sizes.vary else _block_sampler
    starts, counts = tf.constant(pool.starts), tf.constant(pool.counts, tf.int32)
    sample_block = sample(images, starts, counts, sizes, keys, shown)
    return TaskStream(sample_block, info, start, count)


class Shown(NamedTuple):
    """How examples of a pool become those of a task.

    Attributes:
        total: examples of the pool, without turned ones.
        scaled: of the pool.
        rotate: whether each class of a task is turned.
        label_scope: "task" or "split".
    """

    total: int
    scaled: bool
    rotate: bool
    label_scope: str

    def __call__(self, examples: tf.Tensor) -> tf.Tensor:
        """Images as float32 in [0, 1]; other examples as they are."""
        return tf.cast(examples, tf.float32) * SCALE if self.scaled else examples


def _block_sampler(images, starts, counts, sizes, keys, shown):
    """The function `(first, tasks) -> tasks` of tasks of one size; as `varying.block_sampler`."""
    ways, shots, queries = sizes.ways.most, sizes.shots.most, sizes.queries
    longest = int(tf.reduce_max(counts))

    def sample_block(first, tasks):
        bits = random_bits(keys["classes"], first, tasks, counts.shape[0])
        classes = choose(bits, ways)  # [T, ways]
        scores = random_bits(keys["examples"], first, tasks, ways * longest)
        scores = tf.reshape(scores, [tasks, ways, longest])
        chosen = choose(scores, shots + queries, tf.gather(counts, classes))
        chosen = tf.cast(chosen, tf.int64) + tf.gather(starts, classes)[..., None]
        if shown.rotate:
            turns = random_bits(keys["rotations"], first, tasks, ways) & 3
            chosen += shown.total * tf.cast(turns, tf.int64)[..., None]

        def gather_set(part, purpose):
            number = ways * part.shape[-1]
            order = choose(random_bits(keys[purpose], first, tasks, number), number)
            positions = tf.gather(tf.reshape(part, [tasks, number]), order, batch_dims=1)
            labels = order // max(part.shape[-1], 1)
            if shown.label_scope == "split":
                labels = tf.gather(classes, labels, batch_dims=1)
            return shown(tf.gather(images, positions)), labels

        support_x, support_y = gather_set(chosen[:, :, :shots], "support order")
        query_x, query_y = gather_set(chosen[:, :, shots:], "query order")
        return (support_x, support_y, query_x), query_y

    return sample_block


def _shown(pool: Pool) -> dict:
    """What the examples are, for `.info`: images have `image_shape`, by which exports go."""
    shape = list(pool.image_shape)
    if pool.scaled:
        return {"image_shape": shape}
    return {"input_shape": shape, "input_dtype": pool.images.dtype.name}


def _with_rotations(images: np.ndarray) -> np.ndarray:
    """The images, then all turned by 90 degrees, by 180 and by 270."""
    if images.shape[1] != images.shape[2]:
        raise ValueError(
            "Rotated images must be square. "
            f"Received: {images.shape[1]} x {images.shape[2]}. Set rotations=None."
        )
    return np.concatenate([np.rot90(images, turns, axes=(1, 2)) for turns in range(4)])


def _check_pool(pool, name, split, sizes):
    classes, ways = len(pool.class_names), sizes.ways.most
    shots, queries = (1, 1) if sizes.meta_dataset else (sizes.shots.most, sizes.queries)
    if ways > classes:
        raise ValueError(
            f"A task's ways must not exceed the classes of {name} {split}, which has {classes}"
            f"{f' ({pool.others})' if pool.others else ''}. Received: ways={ways}. Lower ways, or "
            f"give more classes{', or pass split=' + repr('all') if pool.others else ''}."
        )
    fewest = int(np.argmin(pool.counts))
    if pool.counts[fewest] < shots + queries:
        short = int((pool.counts < shots + queries).sum())
        label, examples = pool.class_names[fewest], pool.counts[fewest]
        raise ValueError(
            f"Every class needs shots + queries = {shots} + {queries} examples. Received: class "
            f"{label!r} of {name} {split} with {examples} ({short} of {classes} have too few). "
            "Lower shots or queries, or leave such classes out."
        )
