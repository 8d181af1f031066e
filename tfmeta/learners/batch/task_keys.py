"""Keys of tasks, of which dropout masks, inner minibatches and noise are functions.

A key depends on the learner's seed, on what it is used for, and on the index of the task: never on
the place of a task within its batch, which would make an answer depend on its neighbours.
"""

import tensorflow as tf

from tfmeta.tasks.draws import draw_key

# Training counts tasks from the learner's first to its last, an evaluation from 0 each time.
TRAINING, EVALUATION, ANSWER = "training", "evaluation", "answer"
_SIGN = 2**63
_CARRY = 2**31


def task_keys(seed: int, purpose: str, first, count) -> tf.Tensor:
    """Keys of the tasks first, first + 1, ...

    Args:
        seed: any whole number; no two of them share keys.
        purpose: `TRAINING`, `EVALUATION` or `ANSWER`.
        first: index of the first task, an integer scalar, 0 or above.
        count: number of tasks, a Python int or an integer scalar tensor.

    Returns:
        int32 [count, 2]. The second word alone tells the first 2^31 tasks apart.
    """
    # Bit 31 is the carry of the lower word: clear, the first 2^31 indices leave the upper one.
    # Bit 63 is the sign of the upper word: with a negative word XLA draws other numbers than
    # TensorFlow's executor.
    number = draw_key(seed, "learner", purpose) & ~_CARRY & ~_SIGN
    start = tf.constant(number, tf.int64)
    indices = tf.cast(first, tf.int64) + tf.range(tf.cast(count, tf.int64))
    return tf.reverse(tf.bitcast(start + indices, tf.int32), axis=[1])


def answer_keys(seed: int, count) -> tf.Tensor:
    """Keys [count, 2] of tasks that are answered: for every one the key of index 0."""
    return tf.tile(task_keys(seed, ANSWER, 0, 1), [count, 1])


def initial_seed(seed: int, *purpose: str) -> int:
    """Seed of an initializer, below 2^31: a function of the learner's seed and of the purpose."""
    return draw_key(seed, "learner", *purpose) % 2**31
