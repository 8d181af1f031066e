"""Which examples a normalisation layer takes its statistics from, when a query is answered.

- "transductive": the query set as a whole, as MAML's code (Finn et al. 2017).
- "inductive": each query normalised with the support set and itself, alone (Nichol et al. 2018,
  section 6.1), so that no answer depends on another query.
- "running": moving averages, which a meta-step updates from the query statistics.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner import PureNetwork, masks_of, with_mask
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
    if mode == "running":
        # Outside the derivative: averages are no function of the initialisation.
        network_state = updated_averages(pure, weights, network_state, query_inputs, query_weights)
    elif pure.moving:
        network_state = _with_moved(pure, network_state, moved)
    return outputs, network_state, losses


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
    if support is None:
        raise ValueError(
            "Inductive normalisation needs the support inputs. Received: support=None. "
            "Pass the support set that the weights were adapted to."
        )

    def answer(query):
        # Leaf by leaf: a map over queries gives a list of inputs as a tuple.
        pairs = zip(keras.tree.flatten(support.inputs), keras.tree.flatten(query), strict=True)
        joined = keras.tree.pack_sequence_as(
            support.inputs,
            [
                tf.concat([many, tf.cast(one[tf.newaxis], many.dtype)], axis=0)
                for many, one in pairs
            ],
        )
        example_weights = support.weights
        if example_weights is not None:
            one = tf.ones_like(example_weights[:1])
            example_weights = tf.concat([example_weights, one], axis=0)
        outputs, _, losses = pure(
            weights,
            network_state,
            joined,
            batch_statistics=True,
            example_weights=example_weights,
        )
        return outputs[-1], [mask[-1] for mask in masks_of(outputs)], losses

    outputs, masks, losses = map_tasks(answer, query_inputs, parallel=parallel)
    losses = [tf.reduce_mean(values, axis=0) for values in losses]
    return with_mask(outputs, *masks), losses


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
