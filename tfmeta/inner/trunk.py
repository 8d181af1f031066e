"""The trunk of a network: what lies before the first layer that adapts, computed once a set.

`Features` are what a trunk makes of one set of inputs. They remember the very tensors that they
were computed from, so that a call of the network uses them for these tensors and no others; a
call with other weights, another state or other inputs computes the whole network. A `TracedTrunk`
is traced once, and called by every graph that needs it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta.inner.graph_cut import GraphCut
from tfmeta.inner.keras_internals import is_seed
from tfmeta.inner.losses import mask_of, with_mask


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a trunk makes of one set of inputs, and what it made them from.

    Attributes:
        trunk: the `Trunk`.
        inputs: tensor [N, ...] or a structure of them.
        weights: list of tensors, of the trunk's weights.
        state: list of tensors, of the trunk's state before the call.
        batch_statistics: whether layers ran in training mode.
        example_weights: [N], [N, ...] or None.
        tensors: what the layers behind the trunk read, tensors [N, ...] (or None).
        masks: the mask of each of them, or None.
        losses: what the trunk's layers add to the loss, tensors [].
        moved: the trunk's state after the call, order of `state`; None where it stayed.
    """

    trunk: Any
    inputs: Any
    weights: list
    state: list
    batch_statistics: bool
    example_weights: Any
    tensors: list
    masks: list
    losses: list
    moved: list

    def are_of(
        self,
        inputs: Any,
        weights: Sequence,
        state: Sequence,
        *,
        batch_statistics: bool,
        example_weights: tf.Tensor | None,
    ) -> bool:
        """Whether they were computed from these very tensors, all of the network's."""
        same = batch_statistics == self.batch_statistics and self.are_by(weights, state)
        return same and the_same((self.inputs, self.example_weights), (inputs, example_weights))

    def are_by(self, weights: Sequence, state: Sequence) -> bool:
        """Whether they were computed by these very weights and state, all of the network's."""
        theirs = (self.trunk.weights_of(weights), self.trunk.state_of(state))
        return the_same((self.weights, self.state), theirs)

    @property
    def leaves(self) -> list:
        """Tensors, masks, losses and moved state as one flat list of tensors."""
        every = (*self.tensors, *self.masks, *self.losses, *self.moved)
        return [value for value in every if value is not None]

    def replaced(self, leaves: Sequence, **changes: Any) -> "Features":
        """The same features as other tensors.

        Args:
            leaves: list of tensors, order of `leaves`.
            **changes: attributes, of what they were computed from.
        """
        remaining = iter(leaves)
        fields: dict[str, Any] = {
            name: [None if old is None else next(remaining) for old in getattr(self, name)]
            for name in ("tensors", "masks", "losses", "moved")
        }
        return dataclasses.replace(self, **fields, **changes)


class Trunk:
    """The layers before the first one that adapts.

    Args:
        pure: the network, a `PureNetwork`.
        cut: `GraphCut` of it.

    Attributes:
        layers: names of its layers.
    """

    def __init__(self, pure: Any, cut: GraphCut):
        self._cut = cut
        ids = {id(variable) for op in cut.operations for variable in _variables(op)}
        network = pure.network
        self._weights, self._state = (
            [position for position, variable in enumerate(variables) if id(variable) in ids]
            for variables in (network.trainable_variables, network.non_trainable_variables)
        )
        self.layers = [op.name for op in cut.operations if isinstance(op, keras.layers.Layer)]

    def answers_alone(self, *, batch_statistics: bool) -> bool:
        """Whether each example's features are known not to depend on the other examples.

        Args:
            batch_statistics: whether layers run in training mode.
        """
        return self._cut.answers_alone(training=batch_statistics)

    def weights_of(self, weights: Sequence) -> list:
        """Of the network's weights, the trunk's."""
        return [weights[position] for position in self._weights]

    def state_of(self, state: Sequence) -> list:
        """Of the network's state, the trunk's."""
        return [state[position] for position in self._state]

    def placed_weights(self, values: Sequence, count: int) -> list:
        """A list of the network's `count` weights: the trunk's, and None for the others."""
        return _placed(values, self._weights, count)

    def placed_state(self, values: Sequence, count: int) -> list:
        """The same of the network's state."""
        return _placed(values, self._state, count)

    def features(
        self,
        pure: Any,
        weights: Sequence,
        state: Sequence,
        inputs: Any,
        *,
        batch_statistics: bool,
        example_weights: tf.Tensor | None = None,
    ) -> Features:
        """Runs the trunk; arguments as of `PureNetwork`, without noise."""
        options: dict[str, Any] = {
            "batch_statistics": batch_statistics,
            "example_weights": example_weights,
        }
        # The others may have other shapes: a learner that samples has several of each.
        own_weights = self.placed_weights(self.weights_of(weights), len(weights))
        own_state = self.placed_state(self.state_of(state), len(state))
        variables = self.state_of(pure.network.non_trainable_variables)
        with pure.stateless(own_weights, own_state, inputs, **options) as scope:
            given = [scope.get_current_value(variable) for variable in variables]
            tensors = self._cut.before(inputs, training=batch_statistics)
            losses = list(scope.losses)
        after = [scope.get_current_value(variable) for variable in variables]
        return Features(
            self,
            inputs,
            self.weights_of(weights),
            self.state_of(state),
            **options,
            tensors=tensors,
            masks=[None if tensor is None else mask_of(tensor) for tensor in tensors],
            losses=losses,
            moved=[None if b is a else b for a, b in zip(given, after, strict=True)],
        )

    def outputs(
        self,
        pure: Any,
        features: Features,
        weights: Sequence,
        state: Sequence,
        key: tf.Tensor | None = None,
    ) -> Any:
        """Runs what lies behind the trunk; arguments and result as of `PureNetwork`."""
        tensors = [
            None if tensor is None else with_mask(tensor, mask)
            for tensor, mask in zip(features.tensors, features.masks, strict=True)
        ]
        options = {
            "batch_statistics": features.batch_statistics,
            "example_weights": features.example_weights,
        }
        with pure.stateless(weights, state, features.inputs, **options, key=key) as scope:
            outputs = self._cut.behind(tensors, training=features.batch_statistics)
            losses = [*features.losses, *pure.network.losses]
        new_state = [scope.get_current_value(v) for v in pure.network.non_trainable_variables]
        for position, value in zip(self._state, features.moved, strict=True):
            if value is not None:
                new_state[position] = value
        return outputs, new_state, losses


def find_trunk(pure: Any, adapted: Sequence[int]) -> Trunk | None:
    """The trunk of a network; None where there is none, or the network is no graph of layers.

    A trunk without weights and state (a rescaling, say) would save nothing, and is none. A layer
    that draws random numbers is behind the trunk where noise is on: its numbers are new
    in each step. A subclassed network, whose `call` is code, has no trunk.

    Args:
        pure: the network, a `PureNetwork`.
        adapted: indices of the weights that adapt.
    """
    network = pure.network
    if not GraphCut.takes(network) or pure.study is None:
        return None
    weights = network.trainable_variables
    changing = {id(weights[index]) for index in adapted}
    noisy = {id(layer) for layer in pure.study.noisy} if pure.dropout else set()
    moving = {id(network.non_trainable_variables[position]) for position in pure.moving}
    moving.update(id(variable) for layer in pure.averaging for variable in layer.variables)

    def changes(operation):
        own = any(id(variable) in changing for variable in _variables(operation))
        return own or any(id(layer) in noisy for layer in _layers(operation))

    def keeps_state(operation):
        return any(id(variable) in moving for variable in _variables(operation))

    cut = GraphCut(network, changes, keeps_state)
    variables = [variable for operation in cut.operations for variable in _variables(operation)]
    return None if all(map(is_seed, variables)) else Trunk(pure, cut)


def _variables(operation):
    return operation.variables if isinstance(operation, keras.layers.Layer) else []


def _layers(operation):
    return operation._flatten_layers() if isinstance(operation, keras.layers.Layer) else []


def _placed(values, positions, count):
    """A list of `count`, with values at some positions and None elsewhere."""
    placed = dict(zip(positions, values, strict=True))
    return [placed.get(position) for position in range(count)]


def the_same(mine, theirs) -> bool:
    """Whether two structures hold the very same objects."""
    pairs = (tf.nest.flatten(mine), tf.nest.flatten(theirs))
    return len(pairs[0]) == len(pairs[1]) and all(a is b for a, b in zip(*pairs, strict=True))


class TracedTrunk:
    """A trunk as one `tf.function`, for graphs that take no derivative of it.

    The derivatives of a called function are TensorFlow's own, not the exact ones of
    `tfmeta.derivatives.exact`. A SavedModel's signatures take derivatives by what adapts alone, so
    their trunk can be one function. It is traced once for all sets whose size is not known while
    tracing, as in a SavedModel, and once for each size that is, as in a LiteRT file.

    Args:
        trunk: `Trunk`.
    """

    def __init__(self, trunk: Trunk):
        self._trunk = trunk
        self._traced: dict[tuple[bool, str], tuple[Any, Features]] = {}

    def weights_of(self, weights: Sequence) -> list:
        """As of `Trunk`."""
        return self._trunk.weights_of(weights)

    def answers_alone(self, *, batch_statistics: bool) -> bool:
        """As of `Trunk`."""
        return self._trunk.answers_alone(batch_statistics=batch_statistics)

    def features(
        self,
        pure: Any,
        weights: Sequence,
        state: Sequence,
        inputs: Any,
        *,
        batch_statistics: bool,
        example_weights: tf.Tensor | None = None,
    ) -> Features:
        """As of `Trunk`, by a call of the traced function."""
        options: dict[str, Any] = {
            "batch_statistics": batch_statistics,
            "example_weights": example_weights,
        }
        trunk, flat = self._trunk, keras.tree.flatten(inputs)
        if example_weights is not None or any(t.shape.rank is None for t in flat):
            return trunk.features(pure, weights, state, inputs, **options)
        given = (trunk.weights_of(weights), trunk.state_of(state), flat)
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), given)
        key = (batch_statistics, repr(specs))
        if key not in self._traced:
            counts = (len(weights), len(state))
            self._traced[key] = self._trace(pure, specs, counts, inputs, batch_statistics)
        function, found = self._traced[key]
        leaves = function(*tf.nest.flatten(given))
        of = {"inputs": inputs, "weights": given[0], "state": given[1]}
        return found.replaced(tf.nest.flatten(leaves), **of)

    def _trace(self, pure, specs, counts, inputs, batch_statistics):
        """The concrete function of flat arguments, and features that show what comes out."""
        trunk, found = self._trunk, []

        def traced(*arguments):
            weights, state, flat = tf.nest.pack_sequence_as(specs, arguments)
            features = trunk.features(
                pure,
                trunk.placed_weights(weights, counts[0]),
                trunk.placed_state(state, counts[1]),
                keras.tree.pack_sequence_as(inputs, flat),
                batch_statistics=batch_statistics,
            )
            found.append(features)
            return features.leaves

        traced.__name__ = "trunk"
        # Outside the graph of the signature that happens to be first: others call it too.
        with tf.init_scope():
            function = tf.function(traced, autograph=False)
            concrete = function.get_concrete_function(*tf.nest.flatten(specs))
        return concrete, found[0]
