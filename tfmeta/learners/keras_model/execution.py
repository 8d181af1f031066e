"""How tasks are executed where `parallel="auto"` leaves it open: together, or each by itself."""

import functools
import logging
import math
import os

import keras
import tensorflow as tf

from tfmeta.process.cores import usable_cores
from tfmeta.tasks.task import Task, unpack_tasks

# Numbers that one operation of one task works on. What an operation costs beside its work is paid
# once for all tasks of a vectorised pass, so small tasks gain by it. From about here on each task
# by itself stays in the cores' caches, cores share out tasks better than operations, and a pass
# over all of them takes memory for all (docs/explanations/task_axis.md).
LARGE = 2**17
# Below it what operations cost beside their work is most of a step, which XLA takes a half or a
# third of.
TINY = 2**14


def execution_of(learner, task: Task) -> str:
    """How the tasks of a batch are computed: `parallel`, or what "auto" makes of their size.

    Args:
        learner: a `MetaLearner`.
        task: a `Task` of tensors, arrays or specs.

    Returns:
        "vectorized", "sequential", or "auto": vectorised if that can be.
    """
    xla = learner.task_network.pure.xla
    if learner.parallel != "auto" or xla or not has_cores_of_its_own():
        return learner.parallel
    large = are_large(learner.network, examples_of(task))
    return "sequential" if large else "auto"


def are_large(network, examples: int) -> bool:
    """Whether a network's largest output, over a set of so many examples, is.

    Args:
        network: a built `keras.Model`. Layers whose output shape is not known don't count.
        examples: of a task's larger set.
    """
    return examples * _largest_output(network) >= LARGE


def are_tiny(network, examples: int) -> bool:
    """Whether a network's largest output, over a set of so many examples, is tiny.

    Args:
        network: a built `keras.Model`. Layers whose output shape is not known don't count; where
            none is known, tasks are not tiny.
        examples: of a task's larger set, 0 where that is not known.
    """
    return 0 < examples * _largest_output(network) < TINY


def examples_of(task) -> int:
    """Examples of the larger set of each of a batch's tasks; 0 where that is not known.

    Args:
        task: a `Task` of tensors, arrays or specs [T, N, ...].
    """
    sets = keras.tree.flatten((task.support.inputs, task.query.inputs))
    shapes = [tf.TensorShape(leaf.shape) for leaf in sets if leaf is not None]
    return max((shape[1] or 0 for shape in shapes if shape.rank), default=0)


def has_cores_of_its_own() -> bool:
    """Whether tasks by themselves run side by side: not on a GPU, whose operations queue up."""
    return not tf.config.list_logical_devices("GPU")


def _largest_output(network) -> int:
    sizes = [0]
    for layer in network._flatten_layers():
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # never called by itself, as in a subclassed model
            continue
        for output in outputs:
            if None not in output.shape[1:]:
                sizes.append(math.prod(output.shape[1:]))
    return max(sizes)


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
    cores = usable_cores()
    if cores == 1 or not has_cores_of_its_own():
        return
    data = keras.tree.map_structure(lambda leaf: leaf if hasattr(leaf, "shape") else None, data)
    examples = examples_of(unpack_tasks(data[0]))
    if examples and not are_large(learner.network, examples):
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
