"""Features of a task's sets that are known: the trunk does not run on such a set again.

The trunk is what lies before the first layer that adapts, so its features of a set stay the same
from inner step to inner step. `TaskNetwork.knowing` gives a network that knows them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import normalization as modes
from tfmeta.tasks.task import Examples, Task

if TYPE_CHECKING:
    from tfmeta.learners.core.task_network import TaskNetwork


def support_features(
    network: "TaskNetwork",
    weights: Sequence[tf.Tensor],
    network_state: list[tf.Tensor],
    support: Examples,
) -> inner.Features | None:
    """What the trunk makes of a support set; None where there is no trunk.

    A network that knows them (`TaskNetwork.knowing`) does not run the trunk again for losses and
    gradients of the set at weights that differ in what adapts alone. A derivative by other
    weights, taken by a tape that is opened later, would miss the trunk.

    Args:
        network: of the task.
        weights: list of tensors, as `set_loss` will get them, but for those that adapt.
        network_state: list of tensors, as `set_loss` will get them.
        support: the set, as `set_loss` will get it.
    """
    if network.trunk is None:
        return None
    given = (support.inputs, weights, network_state)
    of = {
        "batch_statistics": network.batch_statistics,
        "example_weights": support.weights,
    }
    features: Any
    for features in network.pure.known:
        if features.are_of(*given, **of):
            return features
    return network.trunk.features(network.pure, weights, network_state, support.inputs, **of)


def knowing_task(
    network: "TaskNetwork", weights: Sequence[tf.Tensor], network_state: list[tf.Tensor], task: Task
) -> "TaskNetwork":
    """The same network, for which the trunk has run on both sets of a task at once.

    Where the trunk is not known to answer each example by itself, or examples of the two sets
    may differ in size (sequences of any length), the network as it is.

    Args:
        network: of the task.
        weights: as of `support_features`.
        network_state: as of `support_features`.
        task: support and query set.
    """
    sets, statistics = (task.support, task.query), network.batch_statistics
    if network.trunk is None or not network.trunk.answers_alone(batch_statistics=statistics):
        return network
    if network.normalization == "inductive" and network.pure.depends_on_batch(task.query.inputs):
        return network  # Each query goes with the support set.
    parts = [tf.nest.flatten(examples.inputs) for examples in sets]
    pairs = list(zip(*parts, strict=True))
    if not all(_one_kind(a, b) for a, b in pairs):
        return network
    both = tf.nest.pack_sequence_as(task.support.inputs, [tf.concat(p, 0) for p in pairs])
    features = network.trunk.features(
        network.pure, weights, network_state, both, batch_statistics=statistics
    )
    sizes = [tf.shape(tensor)[0] for tensor in pairs[0]]
    divided = [tf.split(leaf, sizes) for leaf in features.leaves]
    return network.knowing(
        *(
            features.replaced(
                [_sized(parts[position], examples.inputs) for parts in divided],
                inputs=examples.inputs,
                example_weights=examples.weights,
            )
            for position, examples in enumerate(sets)
        )
    )


def knowing_queries(
    network: "TaskNetwork",
    weights: Sequence[tf.Tensor],
    network_state: list[tf.Tensor],
    query_inputs: Any,
    support: Any,
    query_weights: tf.Tensor | None = None,
    mode: str | None = None,
) -> "TaskNetwork":
    """The same network, for which the trunk has run on a query set.

    Answers by weights that differ in what adapts alone do not run the trunk again.

    Args:
        network: of the task.
        weights: as of `TaskNetwork.answers`.
        network_state: as of `answers`.
        query_inputs: as of `answers`.
        support: as of `answers`.
        query_weights: as of `TaskNetwork.answers`.
        mode: as of `answers`.
    """
    if network.trunk is None:
        return network
    features = modes.query_features(
        network.pure,
        network.trunk,
        mode or network.normalization,
        weights,
        network_state,
        query_inputs,
        support,
        query_weights,
        parallel=network.parallel,
    )
    return network.knowing(features)


def joins_features(network: "TaskNetwork") -> bool:
    """Whether features of support set and queries can be joined, in place of their inputs."""
    return network.trunk is not None and network.trunk.answers_alone(batch_statistics=True)


def _sized(tensor, inputs):
    """The tensor, with the number of examples of inputs, where that is known."""
    count = tf.nest.flatten(inputs)[0].shape[0]
    return tf.ensure_shape(tensor, [count, *tensor.shape[1:]])


def _one_kind(one, other):
    """Whether examples of two sets are of one type and one known shape: they can be joined."""
    shape = one.shape[1:]
    return one.dtype == other.dtype and shape.is_fully_defined() and shape == other.shape[1:]
