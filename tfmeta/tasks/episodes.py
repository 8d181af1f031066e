"""Few-shot classification tasks from a pool of images: classes, then examples, never one twice.

The sampling of Vinyals et al. 2016 ("Matching networks", section 4.1): N ways, K shots, and
queries of the same classes.
"""

import numpy as np
import tensorflow as tf

from tfmeta.tasks.draws import choose, draw_key, random_bits
from tfmeta.tasks.memory import on_host
from tfmeta.tasks.pool import Pool
from tfmeta.tasks.stream import TaskStream, check_choice, check_whole_number

# A factor, since a compiled division by a constant becomes one, and the two differ in the last bit.
SCALE = 1.0 / 255.0
LABEL_SCOPES = ("task", "split")


def classification_stream(
    pool: Pool,
    *,
    name: str,
    split: str,
    ways: int,
    shots: int,
    queries: int,
    seed: int,
    count: int | None,
    start: int,
    rotate: bool = False,
    label_scope: str = "task",
    details: dict | None = None,
) -> TaskStream:
    """Returns a stream of `ways`-way tasks of `pool`.

    Task i takes `ways` classes in random order, whose labels are 0 .. ways - 1, and of each
    `shots + queries` examples without replacement; support and query set are in random order. The
    classes of task i do not depend on shots and queries.

    Args:
        pool: the examples of the split.
        name: of the data set.
        split: of the data set; another split under the same seed draws other numbers.
        ways: classes a task.
        shots: support examples a class.
        queries: query examples a class.
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
    for parameter, value, least in (
        ("ways", ways, 1),
        ("shots", shots, 1),
        ("queries", queries, 0),
    ):
        check_whole_number(parameter, value, least)
    check_choice("label_scope", label_scope, LABEL_SCOPES)
    _check_pool(pool, name, split, ways, shots, queries)
    info = {
        "name": name,
        "kind": "classification",
        "split": split,
        "ways": ways,
        "shots": shots,
        "queries": queries,
        "seed": seed,
        "classes": len(pool.class_names),
        **_shown(pool),
        "data_sha256": pool.sha256,
        "label_scope": label_scope,
        **(details or {}),
    }
    purposes = ("classes", "rotations", "examples", "support order", "query order")
    keys = {purpose: draw_key(seed, name, split, purpose) for purpose in purposes}
    sample_block = _block_sampler(pool, ways, shots, queries, rotate, label_scope, keys)
    return TaskStream(sample_block, info, start, count)


def _block_sampler(pool, ways, shots, queries, rotate, label_scope, keys):
    """The function `(first, tasks) -> tasks` of a pool."""
    total, longest = len(pool.images), int(pool.counts.max())
    images = on_host(_with_rotations(pool.images) if rotate else pool.images)
    starts, counts = tf.constant(pool.starts), tf.constant(pool.counts, tf.int32)

    def sample_block(first, tasks):
        bits = random_bits(keys["classes"], first, tasks, len(pool.counts))
        classes = choose(bits, ways)  # [T, ways]
        scores = random_bits(keys["examples"], first, tasks, ways * longest)
        scores = tf.reshape(scores, [tasks, ways, longest])
        chosen = choose(scores, shots + queries, tf.gather(counts, classes))
        chosen = tf.cast(chosen, tf.int64) + tf.gather(starts, classes)[..., None]
        if rotate:
            turns = random_bits(keys["rotations"], first, tasks, ways) & 3
            chosen += total * tf.cast(turns, tf.int64)[..., None]

        def gather_set(part, purpose):
            number = ways * part.shape[-1]
            order = choose(random_bits(keys[purpose], first, tasks, number), number)
            positions = tf.gather(tf.reshape(part, [tasks, number]), order, batch_dims=1)
            labels = order // max(part.shape[-1], 1)
            if label_scope == "split":
                labels = tf.gather(classes, labels, batch_dims=1)
            examples = tf.gather(images, positions)
            return (tf.cast(examples, tf.float32) * SCALE if pool.scaled else examples), labels

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


def _check_pool(pool, name, split, ways, shots, queries):
    classes = len(pool.class_names)
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
