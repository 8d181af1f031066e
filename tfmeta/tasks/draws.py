"""Random numbers of tasks: task i's draws are a function of (seed, purpose, i) and nothing else.

A counter-based generator (Philox 4x32-10; Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3") gives every task its own range of counters under a key made from the seed and the
purpose. So any block of consecutive tasks is drawn by one operation, and holds the same numbers as
the tasks drawn one by one. Integers only: the same on every machine.
"""

import hashlib

import tensorflow as tf

PHILOX = int(tf.random.Algorithm.PHILOX.value)
WORDS_PER_COUNTER = 4  # a Philox 4x32 counter gives four 32-bit words


def draw_key(seed: int, *purpose: str) -> int:
    """Returns the 64-bit key of one purpose under a seed; other purposes share no draw with it."""
    if not hasattr(seed, "__index__"):
        raise ValueError(f"seed must be a whole number. Received: {seed!r}. Pass e.g. seed=0.")
    digest = hashlib.sha256("/".join([str(seed.__index__()), *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def random_bits(key: int, first, tasks, words: int) -> tf.Tensor:
    """Draws `words` random 32-bit words for each of the tasks first .. first + tasks - 1.

    Args:
        key: from `draw_key`.
        first: index of the first task, int64 scalar, 0 or above.
        tasks: number of consecutive tasks, a Python int or an integer scalar tensor.
        words: words a task.

    Returns:
        int32 [tasks, words], uniform over all 2^32 values.
    """
    counters = -(-words // WORDS_PER_COUNTER)
    start = tf.cast(first, tf.uint64) * tf.constant(counters, tf.uint64)
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[tasks, counters * WORDS_PER_COUNTER],
        key=tf.constant([key], tf.uint64),
        counter=tf.stack([start, tf.zeros_like(start)]),
        alg=PHILOX,
        dtype=tf.int32,
    )
    return drawn[:, :words]


def uniform(bits: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Turns random words into float32 in [low, high), by their upper 24 bits."""
    upper = tf.bitwise.right_shift(tf.bitcast(bits, tf.uint32), tf.constant(8, tf.uint32))
    return low + (high - low) * (tf.cast(upper, tf.float32) * 2.0**-24)


def uniform_integers(bits: tf.Tensor, least, most) -> tf.Tensor:
    """Turns random words into whole numbers int32, evenly from `least` to `most`.

    Args:
        bits: random words [...].
        least: int, or int32 [...].
        most: int, or int32 [...]; at least `least`.
    """
    sizes = tf.cast(most - least + 1, tf.uint64)
    scaled = tf.bitwise.right_shift(
        tf.cast(tf.bitcast(bits, tf.uint32), tf.uint64) * sizes, tf.constant(32, tf.uint64)
    )
    return least + tf.cast(scaled, tf.int32)


def choose(bits: tf.Tensor, number: int, limits: tf.Tensor | None = None) -> tf.Tensor:
    """Draws `number` positions without replacement, in random order, from the last axis of `bits`.

    Args:
        bits: random words [..., n].
        number: how many positions, at most n.
        limits: int [...]; only positions below the limit are drawn (it is `number` or above).

    Returns:
        int32 [..., number].
    """
    if limits is not None:
        allowed = tf.range(bits.shape[-1]) < limits[..., None]
        bits = tf.where(allowed, bits, tf.int32.min)
    return tf.math.top_k(bits, number).indices
