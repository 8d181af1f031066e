"""The wrapped network's losses, gradients and answers, as functions of its weights."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import normalization as modes
from tfmeta.learners.core import known_features
from tfmeta.learners.core.embedding import Embedding
from tfmeta.tasks.task import Examples, Task


class Answers(NamedTuple):
    """What a network says about the query set of a task.

    Attributes:
        outputs: raw outputs [Q, ...], with the network's mask where it gives one
            (`inner.mask_of`).
        loss: the query loss [], with the network's own losses.
        network_state: list of tensors, the network's state after the pass.
    """

    outputs: tf.Tensor
    loss: tf.Tensor
    network_state: list


_NO_EMBEDDING = cast(Embedding, None)  # parts read it only where they asked for it


@dataclasses.dataclass(frozen=True)
class TaskNetwork:
    """A network whose weights are arguments. It holds no task and no values.

    `weights` below is a list of tensors in the order of `network.trainable_variables`; `values`
    are those of the weights that adapt.

    Attributes:
        pure: the network as a pure function.
        adapted: indices of the weights that adapt.
        normalization: mode in which queries are answered.
        parallel: how maps within a task run.
        embedding: the network before its last layer; None unless a part's `needs_embedding` asks.
        trunk: `inner.Trunk` or `inner.TracedTrunk`, what lies before the first layer that adapts;
            None where nothing does.
        inner_loss: `inner.SetLoss` of support sets; None before `compile`.
        loss: `inner.SetLoss` of query sets; None before `compile`.
    """

    pure: inner.PureNetwork
    adapted: tuple[int, ...]
    normalization: str
    parallel: str = "auto"
    embedding: Embedding = _NO_EMBEDDING
    trunk: Any = None
    inner_loss: Any = None
    loss: Any = None

    def with_losses(
        self, inner_loss: inner.SetLoss, loss: inner.SetLoss, learner: str
    ) -> "TaskNetwork":
        """The same network with the losses given to `compile`.

        Args:
            inner_loss: of support sets.
            loss: of query sets.
            learner: name of the learner's class, for errors.
        """
        return dataclasses.replace(self, inner_loss=inner_loss, loss=loss)

    def with_samples(self, samples: int | None) -> "TaskNetwork":
        """The same network; only a `SampledNetwork` has a number of samples to set."""
        return self

    def with_traced_trunk(self) -> "TaskNetwork":
        """The same network with its trunk as one `tf.function`, for graphs of signatures.

        Such a graph takes no derivative by the trunk's weights.
        """
        if self.trunk is None:
            return self
        trunk = inner.TracedTrunk(self.trunk)
        return dataclasses.replace(self, pure=self.pure.calling(trunk), trunk=trunk)

    def knowing(self, *features: Any) -> "TaskNetwork":
        """The same network with features of sets, which it does not compute again.

        Args:
            *features: as `PureNetwork.knowing` takes them.
        """
        return dataclasses.replace(self, pure=self.pure.knowing(*features))

    def with_ways(self, ways: int | None) -> "TaskNetwork":
        """The same network with so many outputs, for parts that set the head for each task.

        A network of another size has no trunk: all its layers run at every step.

        Args:
            ways: number of outputs; None: the network's own.
        """
        if ways is None or self.embedding is None or ways == self.embedding.ways:
            return self
        embedding = self.embedding.with_ways(ways)
        pure = embedding.whole(dropout=self.pure.dropout)
        pure.xla = embedding.pure.xla = self.pure.xla
        return dataclasses.replace(self, pure=pure, embedding=embedding, trunk=None)

    def for_weights(self, weights: Sequence) -> "TaskNetwork":
        """The same network with as many outputs as the head among `weights` has."""
        if self.embedding is None:
            return self
        return self.with_ways(self.embedding.head(weights)[1].shape[-1])

    def fitted(self, weights: Sequence) -> list:
        """Weights whose head has the network's outputs: their own, or zeros."""
        return list(weights) if self.embedding is None else self.embedding.fitted(weights)

    @property
    def paths(self) -> list[str]:
        """Path of every trainable weight, relative to the network."""
        return self.pure.paths

    @property
    def adapted_paths(self) -> list[str]:
        """Paths of the weights that adapt."""
        return self.chosen(self.pure.paths)

    @property
    def adapted_variables(self) -> list:
        """Keras variables of the weights that adapt."""
        return self.chosen(self.pure.network.trainable_variables)

    @property
    def adapted_shapes(self) -> list[tuple]:
        """Shape of every weight after adaptation."""
        return [tuple(variable.shape) for variable in self.pure.network.trainable_variables]

    @property
    def projection(self) -> inner.Projection:
        """Projects values of the weights that adapt onto the constraints of their variables."""
        return inner.Projection(self.adapted_variables)

    @property
    def log_probabilities(self) -> bool:
        """Whether a classifier's answers are logarithms of probabilities, which sum to 1."""
        return False

    @property
    def batch_statistics(self) -> bool:
        """Whether support sets are normalised by their own statistics."""
        return self.normalization != "running"

    def chosen(self, weights: Sequence) -> list:
        """Of all weights, those that adapt."""
        return [weights[index] for index in self.adapted]

    def filled(self, weights: Sequence, values: Sequence) -> list:
        """All weights, with those that adapt replaced by `values`."""
        filled = list(weights)
        for index, value in zip(self.adapted, values, strict=True):
            filled[index] = value
        return filled

    def initial(self, weights: Sequence) -> list:
        """Weights as `answers` takes them, from those of the initialisation."""
        return list(weights)

    def set_loss(
        self,
        weights: Sequence[tf.Tensor],
        network_state: list[tf.Tensor],
        examples: Examples,
        key: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The inner loss [] of a set of examples, with the network's own losses.

        Args:
            weights: list of tensors.
            network_state: list of tensors.
            examples: inputs [N, ...], targets [N, ...], weights [N] or None.
            key: int32 [2] of dropout, or None.
        """
        outputs, _, own_losses = self.pure(
            weights,
            network_state,
            examples.inputs,
            batch_statistics=self.batch_statistics,
            example_weights=examples.weights,
            key=key,
        )
        loss = self.inner_loss(examples.targets, outputs, examples.weights)
        return inner.with_own_losses(loss, own_losses)

    def gradient(
        self,
        values: list[tf.Tensor],
        weights: Sequence[tf.Tensor],
        network_state: list[tf.Tensor],
        examples: Examples,
        key: tf.Tensor | None = None,
        objective: Callable[[tf.Tensor, list], tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, list]:
        """The loss of a set of examples, and the gradient at `values` of what is descended.

        Args:
            values: list of tensors, of the weights that adapt.
            weights: list of tensors, of all weights.
            network_state: list of tensors.
            examples: the set.
            key: int32 [2] of dropout, or None.
            objective: None, or a function of (loss, values) to the objective to descend.

        Returns:
            The loss [] and a list of tensors, shapes of `values`.
        """
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = self.set_loss(self.filled(weights, values), network_state, examples, key)
            target = loss if objective is None else objective(loss, values)
        gradients = inner.gradient(tape, target, values, self.adapted_paths, what="support loss")
        return loss, gradients

    def answers(
        self,
        weights: Sequence[tf.Tensor],
        network_state: list[tf.Tensor],
        query_inputs: Any,
        support: Examples | None,
        query_weights: tf.Tensor | None = None,
        mode: str | None = None,
    ) -> tuple[tf.Tensor, list, list]:
        """Raw outputs [Q, ...] of a query set, the network's next state, and its own losses.

        Outputs carry the network's mask where it gives one (`inner.mask_of`).

        Args:
            weights: list of tensors.
            network_state: list of tensors.
            query_inputs: [Q, ...] or a structure of such tensors.
            support: `Examples`; "inductive" needs it.
            query_weights: [Q] or None.
            mode: another normalisation mode than `normalization`, or None.
        """
        mode = mode or self.normalization
        pure = self.pure
        if mode == "inductive" and known_features.joins_features(self):
            given = (weights, network_state, query_inputs, support, query_weights, mode)
            pure = known_features.knowing_queries(self, *given).pure
        return modes.query_outputs(
            pure,
            mode,
            weights,
            network_state,
            query_inputs,
            support,
            query_weights,
            parallel=self.parallel,
        )

    def query(
        self, weights: Sequence[tf.Tensor], network_state: list[tf.Tensor], task: Task
    ) -> Answers:
        """Answers the queries of a task, and measures their loss."""
        query = task.query
        outputs, network_state, own_losses = self.answers(
            weights, network_state, query.inputs, task.support, query.weights
        )
        loss = self.loss(query.targets, outputs, query.weights)
        return Answers(outputs, inner.with_own_losses(loss, own_losses), network_state)
