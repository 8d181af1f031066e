"""A network as an embedding and a head: its last, dense layer and what lies before it."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners import checks
from tfmeta.tasks.task import Examples

# A logit of a class without an example in the support set: its probability is 0 in any float.
NEVER = -1e9


def never(dtype: Any) -> float:
    """`NEVER` as a type holds it: float16 ends at -65504, and -inf would make NaN of gradients.

    Args:
        dtype: of the logits, a floating type.
    """
    return max(NEVER, float(tf.as_dtype(dtype).min) / 2)


class Embedding:
    """The network before its head, as a function of the network's own weights.

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense` with a bias.

    Attributes:
        pure: the embedding as a pure function.
        indices: positions of its weights among the network's trainable variables.
        head_indices: positions of the head's kernel and bias there.
        head_paths: paths of the head's kernel and bias, relative to the network.
        ways: number of outputs of the head.
        network: the whole network.

    Raises:
        ValueError: if the network does not end in a linear dense layer.
    """

    def __init__(self, network: keras.Model):
        checks.check_network(network)
        embedding, head = _split(network)
        self.network = network
        self._head = head
        self._with_ways: dict[int, Embedding] = {}
        self._whole: dict[bool, inner.PureNetwork] = {}
        self.pure = inner.PureNetwork(embedding)
        among = {id(variable): i for i, variable in enumerate(network.trainable_variables)}
        self.indices = [among[id(variable)] for variable in embedding.trainable_variables]
        self.head_indices = [among[id(variable)] for variable in (head.kernel, head.bias)]
        self.head_paths = [inner.relative_path(network, v) for v in (head.kernel, head.bias)]
        self.ways = head.units

    def with_ways(self, ways: int) -> "Embedding":
        """The embedding of the same network with a head of so many outputs, made once.

        It shares all layers but the head, whose values come with the weights that are passed.

        Args:
            ways: number of outputs.
        """
        if ways == self.ways:
            return self
        if ways not in self._with_ways:
            with tf.init_scope():
                self._with_ways[ways] = Embedding(_with_units(self.network, self._head, ways))
        return self._with_ways[ways]

    def whole(self, *, dropout: bool) -> inner.PureNetwork:
        """The whole network as a pure function, made once.

        Args:
            dropout: whether dropout may be on.
        """
        if dropout not in self._whole:
            with tf.init_scope():
                self._whole[dropout] = inner.PureNetwork(self.network, dropout=dropout)
        return self._whole[dropout]

    def fitted(self, weights: Sequence) -> list:
        """The network's weights, with a head of zeros where theirs is of another size.

        Args:
            weights: list of tensors, of the network with any number of outputs.
        """
        kernel, bias = self.head(weights)
        if bias.shape[-1] == self.ways:
            return list(weights)
        head = [
            tf.zeros([kernel.shape[0], self.ways], kernel.dtype),
            tf.zeros([self.ways], bias.dtype),
        ]
        return self.with_head(weights, head)

    def check_adapts(self, learner: str, adapted: Sequence[int]) -> None:
        """Raises a ValueError unless kernel and bias of the head are among what adapts.

        Args:
            learner: name of the learner's class.
            adapted: indices of the weights that adapt.
        """
        if not set(self.head_indices) <= set(adapted):
            raise ValueError(
                f"{learner} sets the head for each task, so that the head must adapt. Received: "
                f"`adapted` without {' and '.join(self.head_paths)}. Add them to `adapted`."
            )

    def check_head(self, learner: str, network: keras.Model, what: str) -> None:
        """Raises a ValueError where a head that is set for each task breaks what a network says.

        Args:
            learner: name of the learner's class.
            network: the whole network.
            what: sets the head, for the message ("prototypes").

        Raises:
            ValueError: for a network that answers each step or pixel of an example, and for
                constraints of the head.
        """
        checks.check_one_answer(learner, network)
        head = self.head(network.trainable_variables)
        reason = f"{what} set the head without regard to them"
        checks.check_constraints(inner.Projection(head).paths, reason)

    def weights(self, weights: Sequence) -> list:
        """Of the network's weights, those of the embedding."""
        return [weights[index] for index in self.indices]

    def head(self, weights: Sequence) -> list:
        """Of the network's weights, the head's kernel [F, ways] and bias [ways]."""
        return [weights[index] for index in self.head_indices]

    def with_head(self, weights: Sequence, head: Sequence) -> list:
        """The network's weights, with another head."""
        filled = list(weights)
        for index, value in zip(self.head_indices, head, strict=True):
            filled[index] = value
        return filled

    def embed(
        self,
        weights: Sequence[tf.Tensor],
        network_state: Sequence[tf.Tensor],
        examples: Examples,
        *,
        batch_statistics: bool,
    ) -> tuple[tf.Tensor, list, list]:
        """Embeds a set of examples.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            network_state: list of tensors, order of `network.non_trainable_variables`.
            examples: inputs [N, ...], weights [N] or None.
            batch_statistics: whether layers normalise by the batch, else by moving averages.

        Returns:
            Features [N, F], the next network state, and the embedding's own losses.
        """
        # The head has no state, so the embedding's is the network's, in the same order.
        return self.pure(
            self.weights(weights),
            network_state,
            examples.inputs,
            batch_statistics=batch_statistics,
            example_weights=examples.weights,
        )

    def memberships(self, examples: Examples, dtype: Any, loss: inner.SetLoss) -> tf.Tensor:
        """Memberships [N, ways]: 1, or the example's weight, in the column of its class.

        Args:
            examples: sparse targets [N] or one-hot targets [N, ways].
            dtype: of the result.
            loss: of the set; an example of the class that it ignores belongs nowhere.
        """
        targets = examples.targets
        if loss.kind.target == "sparse":
            # Keras takes labels of any type.
            targets = tf.one_hot(tf.reshape(tf.cast(targets, tf.int64), [-1]), self.ways)
        memberships = tf.cast(targets, dtype)
        ignored = loss.kind.ignore_class
        if ignored is not None:
            labels = tf.cast(examples.targets, tf.int64)
            counts = tf.not_equal(tf.reshape(labels, [-1, 1]), ignored)
            memberships *= tf.cast(counts, dtype)
        if examples.weights is None:
            return memberships
        return memberships * tf.cast(examples.weights, dtype)[:, tf.newaxis]


def only_present(bias: tf.Tensor, memberships: tf.Tensor) -> tf.Tensor:
    """A head's bias [ways], with `never` for classes without an example.

    The softmax of such a class is 0 in any float, and so is its gradient: the head is that of a
    network whose outputs are the other classes alone.

    Args:
        bias: [ways].
        memberships: [S, ways], the weight of each example in its class.
    """
    present = tf.reduce_sum(memberships, axis=0) > 0
    return tf.where(present, bias, tf.constant(never(bias.dtype), bias.dtype))


def check_logits(learner: str, loss: inner.SetLoss) -> None:
    """Raises a ValueError unless the loss is a cross-entropy of several classes from logits.

    Args:
        learner: who asks, for the message.
        loss: of query sets.
    """
    if not loss.kind.takes_logits:
        raise ValueError(
            f"{learner} tells classes apart, by logits. Received: loss {loss.loss.name!r}. "
            "Compile with keras.losses.SparseCategoricalCrossentropy(from_logits=True), or the "
            "categorical one for one-hot targets."
        )


def _split(network):
    """(the network without its head, the head: its last layer)."""
    head: Any = network.layers[-1] if network.layers else None
    outputs = getattr(network, "outputs", None)
    dense = isinstance(head, keras.layers.Dense) and head.use_bias and outputs
    if not (dense and head.activation is keras.activations.linear and head.trainable):
        raise ValueError(
            "The network must end in a dense layer without activation and with a bias, which "
            f"can be told from the embedding before it. Received: {network.name!r}, whose last "
            f"layer is {getattr(head, 'name', None)!r}. Build it as a functional or sequential "
            "model that ends in keras.layers.Dense(ways)."
        )
    inputs = getattr(network, "_inputs_struct", network.inputs)
    return keras.Model(inputs, head.input, name=f"{network.name}_embedding"), head


def _with_units(network, head, units):
    """The network with another last layer: the same, of so many units."""
    wide = type(head).from_config({**head.get_config(), "units": units})
    inputs = getattr(network, "_inputs_struct", network.inputs)
    made = keras.Model(inputs, wide(head.input), name=network.name)
    own = {id(variable) for variable in (head.kernel, head.bias)}
    for before, after in (
        (network.trainable_variables, made.trainable_variables),
        (network.non_trainable_variables, made.non_trainable_variables),
    ):
        same = len(before) == len(after) and all(
            one is other or id(one) in own for one, other in zip(before, after, strict=True)
        )
        if not same:
            raise ValueError(
                "A head of another size needs a network whose variables all belong to its layers. "
                f"Received: {network.name!r}, which holds others. Wrap it: inputs = "
                "keras.Input(shape); keras.Model(inputs, network(inputs)) with the last layer "
                "outside."
            )
    return made
