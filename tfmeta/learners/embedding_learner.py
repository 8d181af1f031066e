"""Networks as an embedding and a head, for learners that train the embedding alone.

The embedding f is the network without its last layer, a dense one. What such a learner does for a
task concerns only what stands on top of f, so these baselines differ in two things: how f is
trained (`episodic_training`, `joint_training`), and how a task's queries are answered.
"""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.meta_learner import MetaLearner


class EmbeddingLearner(MetaLearner):
    """A `MetaLearner` that meta-trains the embedding of its network, and leaves the head as it is.

    In training, batch normalisation uses the statistics of the batch at hand, and its moving
    averages are kept, as Keras' `fit` does; `normalization` says which statistics embed support
    and queries afterwards, the averages by default.

    Args:
        network: a built functional or sequential `keras.Model` whose last layer is a linear
            `keras.layers.Dense`; its outputs are as many as a task may have classes.
        normalization: "running", "transductive" or "inductive".
        **options: of `MetaLearner`.

    Raises:
        ValueError: if the network does not end in a linear dense layer.
    """

    def __init__(self, network, *, normalization="running", **options):
        super().__init__(network, normalization=normalization, **options)
        self.updates_state = True
        embedding, head = _split(network)
        self._embedding = inner.PureNetwork(embedding)
        self._embedding_indices = _positions(
            embedding.trainable_variables, network.trainable_variables
        )
        self._head_indices = _positions([head.kernel, head.bias], network.trainable_variables)

    def compile(self, optimizer="adam", loss=None, metrics=None, **options):
        """As `MetaLearner.compile`; the loss is a cross-entropy from logits.

        Raises:
            ValueError: for another loss.
        """
        super().compile(optimizer, loss, metrics, **options)
        kind = self.loss_function.kind
        if kind.link != "softmax" or not kind.from_logits:
            raise ValueError(
                f"{type(self).__name__} tells classes apart, by logits. Received: loss "
                f"{self.loss_function.loss.name!r}. Compile with "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True), or the "
                "categorical one for one-hot targets."
            )
        self._embedding.xla = self._pure.xla

    def _embed(self, weights, network_state, inputs, example_weights=None, *, batch_statistics):
        """Embeds a batch.

        Args:
            weights: list of tensors, order of `network.trainable_variables`.
            network_state: list of tensors, order of `network.non_trainable_variables`.
            inputs: tensor [N, ...] or dict of tensors.
            example_weights: [N] or None; examples of weight 0 leave batch statistics.
            batch_statistics: whether layers normalise by the batch, else by moving averages.

        Returns:
            Embeddings [N, F], the next network state, and the embedding's own losses.
        """
        # The head has no state, so the embedding's is the network's, in the same order.
        return self._embedding(
            self._embedding_weights(weights),
            network_state,
            inputs,
            batch_statistics=batch_statistics,
            example_weights=example_weights,
        )

    def _embedding_weights(self, weights):
        return [weights[index] for index in self._embedding_indices]

    def _gradient(self, tape, loss, parameters):
        """The gradient of what the outer optimiser moves; 0 for the head, which takes no part."""
        heads = set(self._head_indices)
        moved = [index for index in range(len(parameters)) if index not in heads]
        found = inner.gradient(
            tape,
            loss,
            [parameters[index] for index in moved],
            [self.parameter_paths[index] for index in moved],
            what="training loss",
        )
        gradient = [tf.zeros_like(value) for value in parameters]
        for index, value in zip(moved, found, strict=True):
            gradient[index] = value
        return gradient


def _split(network):
    """(the network without its head, the head: its last layer)."""
    head = network.layers[-1] if network.layers else None
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


def _positions(variables, among):
    """Indices of variables in a list, by identity."""
    where = {id(variable): index for index, variable in enumerate(among)}
    return [where[id(variable)] for variable in variables]
