"""Advice on TensorFlow's threads, which cost more than they gain where operations are small."""

import functools
import logging
import os

import keras
import tensorflow as tf

from tfmeta.learners import execution
from tfmeta.tasks.task import unpack_tasks

_VARIABLE = "TF_NUM_INTRAOP_THREADS"
_logger = logging.getLogger("tfmeta")


def advise(learner, x) -> None:
    """Says once in a process, in one line, that small operations are faster on one thread.

    Nothing is set. Nothing is said where the user has chosen a number of threads, on a GPU, on one
    core, for large tasks, or where the size of the tasks isn't known before they are drawn.

    Args:
        learner: a `MetaLearner`.
        x: what is given to `fit`.
    """
    data = x.element_spec if isinstance(x, tf.data.Dataset) else (x,)
    if os.environ.get(_VARIABLE) or not isinstance(data[0], (tuple, list)):
        return
    if tf.config.threading.get_intra_op_parallelism_threads():
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores == 1 or not execution.has_cores_of_its_own():
        return
    data = keras.tree.map_structure(lambda leaf: leaf if hasattr(leaf, "shape") else None, data)
    examples = execution.examples_of(unpack_tasks(data[0]))
    if examples and not execution.are_large(learner.network, examples):
        _say(cores)


@functools.cache
def _say(cores: int) -> None:
    _logger.warning(
        "TensorFlow divides each operation among %d threads, which costs small networks time: "
        "with one thread a step of 5-way Omniglot took 0.57 of the time of a PyTorch loop on two "
        "cores, with two threads 0.65 to 0.77. To try it: %s=1 python ...",
        cores,
        _VARIABLE,
    )
