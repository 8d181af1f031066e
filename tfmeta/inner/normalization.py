"""Which examples a normalisation layer takes its statistics from, when a query is answered.

- "transductive": the query set as a whole, as MAML's code (Finn et al. 2017).
- "inductive": each query normalised with the support set and itself, alone (Nichol et al. 2018,
  section 6.1), so that no answer depends on another query.
- "running": moving averages, which a meta-step updates from the query statistics.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.losses import masks_of, with_mask
from tfmeta.inner.network import PureNetwork
from tfmeta.inner.trunk import Features, the_same
from tfmeta.parallel import map_tasks
from tfmeta.tasks.task import Examples

MODES = ("transductive", "inductive", "running")


def query_outputs(
    pure: PureNetwork,
    mode: str,
    weights: Sequence[tf.Tensor],
    network_state: list[tf.Tensor],
    query_inputs: Any,
    support: Examples | None,
    query_weights: tf.Tensor | None = None,
    *,
    parallel: str,
) -> tuple[tf.Tensor, list, Any]:
    """Runs the network on a query set.

    Args:
        pure: an `inner.PureNetwork`.
        mode: one of `MODES`.
        weights: list of tensors.
        network_state: list of tensors.
        query_inputs: tensor [Q, ...] or dict.
        support: `Examples`, needed by "inductive".
        query_weights: [Q] or None.
        parallel: how "inductive" maps over queries.

    Returns:
        outputs [Q, ...] (with the network's mask where it gives one), the network's next state
        (layers' own state as a call in training mode on the queries leaves it; moving averages of
        Keras' batch normalisation change by "running" only), and the network's own losses.
    """
    if mode == "inductive" and pure.depends_on_batch(query_inputs):
        outputs, losses = _inductive(pure, weights, network_state, query_inputs, support, parallel)
        if pure.moving:
            moved = updated_averages(pure, weights, network_state, query_inputs, query_weights)
            network_state = _with_moved(pure, network_state, moved)
        return outputs, network_state, losses
    outputs, moved, losses = pure(
        weights,
        network_state,
        query_inputs,
        batch_statistics=mode != "running",
        example_weights=query_weights,
    )
    if mode == "running" and (pure.averaging or pure.moving):
        # Outside the derivative: averages are no function of the initialisation.
        network_state = updated_averages(pure, weights, network_state, query_inputs, query_weights)
    elif pure.moving:
        network_state = _with_moved(pure, network_state, moved)
    return outputs, network_state, losses


@dataclasses.dataclass(frozen=True, eq=False)
class QueryFeatures:
    """Features of each query joined with the support set, which "inductive" normalises together.

    Attributes:
        one: `Features` of one query, whose tensors only show which there are.
        leaves: those of every query, tensors [Q, ...].
        query_inputs: what they are of: [Q, ...] or a structure of such tensors.
        support: `Examples`, likewise.
    """

    one: Features
    leaves: list
    query_inputs: Any
    support: Any

    def are_of(self, inputs, weights, state, **options) -> bool:
        """Whether they are of a set as a whole: never."""
        return False

    def are_of_queries(self, weights, state, query_inputs, support) -> bool:
        """Whether they were computed from these very tensors."""
        mine, theirs = (
            (inputs, examples.inputs, examples.weights)
            for inputs, examples in ((self.query_inputs, self.support), (query_inputs, support))
        )
        return the_same(mine, theirs) and self.one.are_by(weights, state)

    def of_one(self, leaves, joined, example_weights) -> Features:
        """`Features` of one query joined with the support set.

        Args:
            leaves: of the query.
            joined: inputs of support set and query.
            example_weights: of support set and query.
        """
        return self.one.replaced(leaves, inputs=joined, example_weights=example_weights)


def query_features(
    pure,
    trunk,
    mode,
    weights,
    network_state,
    query_inputs,
    support,
    query_weights=None,
    *,
    parallel,
):
    """What a trunk makes of a query set: `Features`, or `QueryFeatures`, for `pure.knowing`.

    Arguments as of `query_outputs`, and the trunk, a `tfmeta.inner.Trunk`.
    """
    if mode != "inductive" or not pure.depends_on_batch(query_inputs):
        return trunk.features(
            pure,
            weights,
            network_state,
            query_inputs,
            batch_statistics=mode != "running",
            example_weights=query_weights,
        )
    _check_support(support)
    found = []

    def features_of(inputs, example_weights):
        features = trunk.features(
            pure,
            weights,
            network_state,
            inputs,
            batch_statistics=True,
            example_weights=example_weights,
        )
        found.append(features)
        # What does not depend on the query is a constant, which a map cannot return as it is.
        return [tf.identity(leaf) for leaf in features.leaves]

    if trunk.answers_alone(batch_statistics=True):
        many, each = (features_of(i, None) for i in (support.inputs, query_inputs))
        leaves = [
            tf.concat([_repeated(a, tf.shape(b)[0]), b[:, tf.newaxis]], axis=1)
            for a, b in zip(many, each, strict=True)
        ]
    else:
        leaves = map_tasks(
            lambda query: features_of(*_joined(support, query)), query_inputs, parallel=parallel
        )
    return QueryFeatures(found[0], leaves, query_inputs, support)


def _repeated(tensor, count):
    """The tensor `count` times, along a new first axis."""
    return tf.repeat(tensor[tf.newaxis], count, axis=0)


def _with_moved(pure, network_state, moved):
    """The state with layers' own state as a call in training mode left it."""
    moved = {position: tf.stop_gradient(moved[position]) for position in pure.moving}
    return [moved.get(position, value) for position, value in enumerate(network_state)]


def check(mode):
    """Raises a ValueError if the mode is unknown."""
    if mode not in MODES:
        raise ValueError(
            f"normalization must be one of {', '.join(map(repr, MODES))}. Received: {mode!r}."
        )


def _inductive(pure, weights, network_state, query_inputs, support, parallel):
    _check_support(support)
    known = None
    for features in pure.known:
        if isinstance(features, QueryFeatures) and features.are_of_queries(
            weights, network_state, query_inputs, support
        ):
            known = features

    def answer(arguments):
        query, leaves = arguments
        joined, example_weights = _joined(support, query)
        network = pure
        if known is not None:
            network = pure.knowing(known.of_one(leaves, joined, example_weights))
        outputs, _, losses = network(
            weights,
            network_state,
            joined,
            batch_statistics=True,
            example_weights=example_weights,
        )
        return outputs[-1], [mask[-1] for mask in masks_of(outputs)], losses

    leaves = [] if known is None else known.leaves
    outputs, masks, losses = map_tasks(answer, (query_inputs, leaves), parallel=parallel)
    losses = [tf.reduce_mean(values, axis=0) for values in losses]
    return with_mask(outputs, *masks), losses


def _check_support(support):
    if support is None:
        raise ValueError(
            "Inductive normalisation needs the support inputs. Received: support=None. "
            "Pass the support set that the weights were adapted to."
        )


def _joined(support, query):
    """Inputs and example weights of the support set and one query behind it."""
    # Leaf by leaf: a map over queries gives a list of inputs as a tuple.
    pairs = zip(keras.tree.flatten(support.inputs), keras.tree.flatten(query), strict=True)
    joined = keras.tree.pack_sequence_as(
        support.inputs,
        [tf.concat([many, tf.cast(one[tf.newaxis], many.dtype)], axis=0) for many, one in pairs],
    )
    example_weights = support.weights
    if example_weights is not None:
        one = tf.ones_like(example_weights[:1])
        example_weights = tf.concat([example_weights, one], axis=0)
    return joined, example_weights


def updated_averages(pure, weights, network_state, inputs, example_weights=None):
    """The network's state after a pass over a set, its averages moved towards the set's.

    Args:
        pure: an `inner.PureNetwork`.
        weights: list of tensors.
        network_state: list of tensors.
        inputs: tensor [N, ...] or dict.
        example_weights: [N] or None; examples of weight 0 leave the statistics.
    """
    weights = [tf.stop_gradient(weight) for weight in weights]
    _, updated, _ = pure(
        weights, network_state, inputs, batch_statistics=True, example_weights=example_weights
    )
    return [tf.stop_gradient(value) for value in updated]
