"""Answers by comparison with the support set: networks, adaptations, rules, refused options."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfmeta.inner import normalization as modes
from tfmeta.learners import checks
from tfmeta.learners.core.adaptation import Adaptation, TaskContext
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.tasks.task import Examples

_OF_GRADIENT_STEPS = (
    "inner_rate",
    "inner_steps",
    "test_inner_steps",
    "inner_optimizer",
    "adapted",
    "inner_loss",
    "dropout",
    "rematerialize",
)

# What learners that compare set themselves; one step goes all the way.
CHOSEN = ("adaptation", "gradient_rule", *_OF_GRADIENT_STEPS)


def refuse_gradient_steps(learner: str, options: Mapping[str, Any]) -> None:
    """Raises a ValueError for an option that only gradient steps have.

    Args:
        learner: name of the class.
        options: given to its constructor.
    """
    wrong = [name for name in _OF_GRADIENT_STEPS if name in options]
    if wrong:
        raise ValueError(
            f"{learner} answers by comparison, without gradient steps. "
            f"Received: {', '.join(wrong)}. Leave it out, or take tfmeta.FineTuning."
        )


@dataclasses.dataclass(frozen=True)
class ComparisonNetwork(TaskNetwork):
    """A network whose answers compare the embeddings of queries and support examples.

    Attributes:
        compare: function of (embeddings of queries [Q, F], embeddings of the support set [S, F],
            memberships [S, ways]) to logits [Q, ways].
        learner: name of the learner, for errors.
        gives_log_probabilities: whether these logits are logarithms of probabilities.
    """

    compare: Any = None
    learner: str = ""
    gives_log_probabilities: bool = False

    @property
    def log_probabilities(self) -> bool:
        """Whether `compare` gives logarithms of probabilities, which sum to 1."""
        return self.gives_log_probabilities

    def answers(
        self, weights, network_state, query_inputs, support, query_weights=None, mode=None
    ) -> tuple[tf.Tensor, list, list]:
        """Logits [Q, ways], the next network state, and own losses; as of `TaskNetwork`."""
        if support is None or support.targets is None:
            raise ValueError(
                f"{self.learner} answers from the support set. Received: none. Pass the "
                "support examples with their targets."
            )
        mode = mode or self.normalization
        embeddings = self.embedded_support(weights, network_state, support, mode)
        query, network_state, losses = modes.query_outputs(
            self.embedding.pure,
            mode,
            self.embedding.weights(weights),
            network_state,
            query_inputs,
            support,
            query_weights,
            parallel=self.parallel,
        )
        memberships = self.embedding.memberships(support, embeddings.dtype, self.inner_loss)
        return self.compare(query, embeddings, memberships), network_state, losses

    def embedded_support(self, weights, network_state, support: Examples, mode: str) -> tf.Tensor:
        """Embeddings [S, F] of the support set."""
        return self.embedding.embed(
            weights, network_state, support, batch_statistics=mode != "running"
        )[0]


@dataclasses.dataclass(frozen=True)
class NoSteps(Adaptation):
    """Weights stay as they are: queries are compared with the support set itself.

    Attributes:
        compare: of `ComparisonNetwork`.
        learner: name of the learner, for errors.
        log_probabilities: whether `compare` gives logarithms of probabilities.
    """

    compare: Callable
    learner: str
    log_probabilities: bool = False
    needs_embedding = True
    any_ways = True
    needs_support = True
    inner_rate = 1.0

    def check_network(self, network) -> None:
        """Raises a ValueError for a network that answers each step or pixel of an example."""
        checks.check_one_answer(self.learner, network.pure.network)

    def task_network(self, **attributes) -> TaskNetwork:
        """The network that compares."""
        return ComparisonNetwork(
            compare=self.compare,
            learner=self.learner,
            gives_log_probabilities=self.log_probabilities,
            **attributes,
        )

    def prepare(self, context: TaskContext) -> tf.Tensor:
        """The loss [] of the support set compared with itself."""
        network: Any = context.network  # `ComparisonNetwork`
        support = context.support
        weights, state = context.parameters.network, context.state.network
        embeddings = network.embedded_support(weights, state, support, network.normalization)
        memberships = network.embedding.memberships(support, embeddings.dtype, network.inner_loss)
        outputs = network.compare(embeddings, embeddings, memberships)
        loss = network.inner_loss(support.targets, outputs, support.weights)
        return tf.cast(loss, weights[0].dtype)

    def start(self, context: TaskContext) -> list:
        """All weights."""
        return list(context.parameters.network)

    def step(self, context: TaskContext, index, carry) -> tuple[list, tf.Tensor]:
        """Nothing moves."""
        return carry, context.given

    def finish(self, context: TaskContext, done, carry) -> list:
        """All weights."""
        return list(carry)

    def support_loss(self, context: TaskContext, weights) -> tf.Tensor:
        """The loss [] of the support set compared with itself."""
        return context.given

    def check_export(self) -> None:
        """Refuses: the weights of an adapted model do not hold the support set."""
        raise ValueError(
            f"{self.learner} answers from the support set itself, which the signatures "
            "`adapt` and `predict_adapted` have no place for. Received: an export. Export a "
            "tfmeta.PrototypicalNetwork, whose prototypes are weights (`export.enabled = False` "
            "in a recipe)."
        )
