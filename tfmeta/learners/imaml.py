"""iMAML (Rajeswaran, Finn, Kakade, Levine 2019): the meta-gradient by the implicit function."""

import dataclasses
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner.loop import MAX_UNROLLED_STEPS
from tfmeta.learners import checks
from tfmeta.learners.core import known_features
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import GradientDescent, descent
from tfmeta.learners.core.gradient_rule import (
    GradientRule,
    TaskFunctions,
    TaskGradient,
    refuse_groups,
)
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Part
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Proximal(Part):
    """The objective support loss + strength / 2 ||v - w||^2 (the paper's equation 4).

    Attributes:
        strength: lambda, above 0.
    """

    strength: float
    only_adapted = True

    def value(self, context: TaskContext, loss, values) -> tf.Tensor:
        """The objective [] at `values` of the weights that adapt."""
        start = context.network.chosen(context.parameters.network)
        distance = tf.add_n(
            [tf.reduce_sum(tf.square(v - w)) for v, w in zip(values, start, strict=True)]
        )
        return loss + 0.5 * self.strength * distance


@dataclasses.dataclass(frozen=True)
class ImplicitGradient(GradientRule):
    """(I + H / lambda)^-1 g at the adapted weights, by conjugate gradients.

    Attributes:
        regularization: lambda.
        steps: of conjugate gradients.
        tolerance: stop once the residual is this share of g in norm.
    """

    regularization: float
    steps: int
    tolerance: float
    second_order = True

    def check_network(self, network) -> None:
        """Raises a ValueError for constraints of the weights that adapt."""
        reason = "the implicit gradient is of a minimum without bounds"
        checks.check_constraints(network.projection.paths, reason)

    def check_parameters(self, groups) -> None:
        """Raises a ValueError for parts that learn variables of their own."""
        refuse_groups("ImplicitGradient", groups)

    def task_gradient(
        self, functions: TaskFunctions, parameters, task: Task, state, key
    ) -> TaskGradient:
        """The implicit gradient for the weights that adapt; g and mixed terms for the others."""
        network = functions.network
        adapted = functions.adapt(parameters, task.support, state, key)
        weights = [tf.stop_gradient(weight) for weight in adapted.weights]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            answers = network.query(weights, state.network, task)
        held = parameters._replace(network=weights)
        gradient = functions.gradient(tape, answers.loss, held).network
        new_state = adapted.state._replace(network=answers.network_state)
        logs = {"loss": answers.loss}
        if not functions.inner_steps:  # No inner problem: its solution is the initialisation.
            return TaskGradient(held._replace(network=gradient), answers.outputs, new_state, logs)
        # Both terms at the state of the inner problem, not at the one that the queries leave.
        context = functions.context(parameters, task.support, state, key)
        solved = self._solve(context, weights, network.chosen(gradient))
        if len(network.adapted) < len(weights):
            gradient = self._with_mixed_terms(context, gradient, solved, weights)
        found = parameters._replace(network=network.filled(gradient, solved))
        return TaskGradient(found, answers.outputs, new_state, logs)

    def _solve(self, context, weights, direct):
        network = context.network
        features = known_features.support_features(
            network, weights, context.state.network, context.support
        )
        if features is not None:
            context = context.replaced(network=network.knowing(features))
        hessian = inner.hessian_operator(
            lambda values: context.loss(network.filled(weights, values)), network.chosen(weights)
        )

        def operator(vector):
            product = hessian(vector)
            return [v + p / self.regularization for v, p in zip(vector, product, strict=True)]

        return inner.conjugate_gradient(
            operator,
            direct,
            self.steps,
            tolerance=self.tolerance,
            unroll=self.steps <= MAX_UNROLLED_STEPS,
        )

    def _with_mixed_terms(self, context, gradient, solved, weights):
        """Adds, for weights u that do not adapt, what they change through the inner minimum.

        dv/du = -(lambda I + H)^-1 d2L/dvdu, so the term is -(d2L/dudv) x / lambda with x the
        solution for the weights that adapt.
        """
        network = context.network
        others = [index for index in range(len(weights)) if index not in network.adapted]
        fixed = [weights[index] for index in others]
        with tf.GradientTape() as outer:
            outer.watch(fixed)
            _, first = network.gradient(
                network.chosen(weights), weights, context.state.network, context.support
            )
            product = inner.dot(first, [tf.stop_gradient(value) for value in solved])
        mixed = outer.gradient(product, fixed, unconnected_gradients="zero")
        corrected = list(gradient)
        for index, term in zip(others, mixed, strict=True):
            corrected[index] -= tf.convert_to_tensor(term) / self.regularization
        return corrected


@keras.saving.register_keras_serializable("tfmeta")
class IMAML(MetaLearner):
    """Adapts by descending support loss + lambda/2 ||v - w||^2; needs no derivative of the path.

    At the inner minimum v the meta-gradient is (I + H / lambda)^-1 g, with g the query gradient
    and H the Hessian of the support loss, both at v (the paper's equation 6). It is solved by
    conjugate gradients on Hessian-vector products, so memory does not grow with inner steps.

    The system is positive definite only while lambda exceeds the most negative curvature of the
    support loss; where a direction's curvature is not positive, conjugate gradients stop there
    and the meta-gradient is what they have reached. Take a larger lambda then.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.IMAML(network, inner_rate=0.1, inner_steps=5, regularization=2.0)
        >>> learner.compile("adam", "mse")
        >>> tasks = tfmeta.tasks.sinusoid("train", shots=5, seed=0).batch(2)
        >>> history = learner.fit(tasks, steps_per_epoch=1, verbose=0)

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: gradient steps of the inner problem (the paper's: 16).
        regularization: lambda.
        cg_steps: conjugate-gradient steps (the paper's: 5).
        cg_tolerance: stop once the residual is this share of g in norm.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    adaptation: GradientDescent
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.1,
        inner_steps: int = 16,
        *,
        regularization: float = 2.0,
        cg_steps: int = 5,
        cg_tolerance: float = 0.0,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        if not regularization > 0:
            raise ValueError(
                f"regularization must be above 0. Received: {regularization!r}. "
                "Take tfmeta.MAML(first_order=True) for an unregularised inner problem."
            )
        super().__init__(
            network,
            descent(inner_rate, inner_optimizer, objective=Proximal(regularization)),
            ImplicitGradient(regularization, cg_steps, cg_tolerance),
            inner_steps=inner_steps,
            **options,
        )
        self.regularization = regularization
        self.cg_steps = cg_steps
        self.cg_tolerance = cg_tolerance
        self.inner_optimizer = self.adaptation.optimizer
