"""How many classes a task has, where the head of each class is set from the support set."""

import keras
import numpy as np
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.learners.batch.batches import plain_batch
from tfmeta.tasks.task import Examples, unpack_tasks

MOST_WAYS = 1000  # beyond the network's outputs: labels above it are no numbers of classes


def check_any_ways(learner) -> None:
    """Raises a ValueError unless the learner answers any number of classes.

    Args:
        learner: a compiled `MetaLearner`.
    """
    checks.check_compiled(learner)
    if learner.any_ways:
        return
    loss = learner.inner_loss_function
    reason = f"{type(learner).__name__} trains a head of {learner.ways} outputs"
    if any(part.any_ways for part in learner.parts):
        reason = f"the loss {loss.loss.name!r} is no plain cross-entropy of classes from logits"
    raise ValueError(
        "max_ways is for learners that set the head of each class from its support examples: "
        "ProtoMAML, UnicornMAML, R2D2, PrototypicalNetwork, with a cross-entropy from logits and "
        f"without label smoothing. Received: max_ways, but {reason}. Leave max_ways out; the "
        "output present_probabilities leaves out the classes without an example."
    )


def allows_any_ways(parts, loss: inner.SetLoss | None) -> bool:
    """Whether a task may have more classes than the network has outputs.

    Args:
        parts: of the learner.
        loss: of support sets; None before `compile`.
    """
    if loss is None or not any(part.any_ways for part in parts):
        return False
    # Smoothing spreads a label over all outputs, also those of classes that are not there.
    return loss.kind.takes_logits and not loss.kind.label_smoothing


def ways_of(learner, support: Examples) -> int | None:
    """Outputs for the classes of concrete support sets; None for those of the network.

    The number is the largest label + 1, or the size of one-hot targets, where that is more than
    the network's outputs.

    Args:
        learner: a compiled `MetaLearner`.
        support: targets [..., S] or one-hot [..., S, ways], and weights or None.

    Raises:
        ValueError: for a number that can't be one of classes.
    """
    if not learner.any_ways or support.targets is None:
        return None
    kind = learner.inner_loss_function.kind
    if kind.target != "sparse":
        ways = support.targets.shape[-1]
        return None if ways is None or ways == learner.ways else ways
    labels = _concrete(support.targets)
    if labels is None:
        return None
    counts = np.ones(labels.shape, bool)
    if support.weights is not None:
        counts &= np.broadcast_to(np.asarray(support.weights) > 0, labels.shape)
    if kind.ignore_class is not None:
        counts &= labels != kind.ignore_class
    ways = int(labels[counts].astype(np.int64).max(initial=-1)) + 1
    if ways <= learner.ways:
        return None
    if ways > MOST_WAYS:
        raise ValueError(
            f"Labels beyond the network's {learner.ways} outputs must be below {MOST_WAYS}. "
            f"Received: a label {ways - 1}. Number the classes of a task from 0, as "
            "names, numbers = np.unique(labels, return_inverse=True) does."
        )
    return ways


def ways_of_weights(learner, weights) -> int | None:
    """Outputs of the head among adapted weights; None where they are the network's."""
    embedding = learner.task_network.embedding
    if embedding is None:
        return None
    ways = embedding.head(weights)[1].shape[-1]
    return None if ways == embedding.ways else ways


def ways_of_arrays(learner, x) -> int | None:
    """`ways_of` arrays of tasks `(support_x, support_y, query_x, ...)`; None for a stream."""
    if learner.loss_function is None:  # `predict` says so itself
        return None
    if not learner.any_ways or not isinstance(x, (tuple, list)):  # a `Task` is a tuple too
        return None
    x = plain_batch(x)[0]
    if not all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        return None
    return ways_of(learner, unpack_tasks(x).support)


def check_plain(options) -> None:
    """Raises a ValueError for options of Keras' loop, which answers of more classes do without."""
    if options.get("callbacks"):
        raise ValueError(
            "Tasks with more classes than the network has outputs are answered outside Keras' "
            f"loop. Received: callbacks={options['callbacks']!r}. Leave callbacks out, or build "
            "the network with more outputs."
        )


def _concrete(targets):
    """The labels as an array; None within a graph."""
    if isinstance(targets, tf.Tensor) and not hasattr(targets, "numpy"):
        return None
    if not tf.executing_eagerly():
        return None
    return np.asarray(targets)
