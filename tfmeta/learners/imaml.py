"""iMAML (Rajeswaran, Finn, Kakade, Levine 2019): the meta-gradient by the implicit function."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner.loop import MAX_UNROLLED_STEPS
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.pure_functions import TaskGradient


@keras.saving.register_keras_serializable("tfmeta")
class IMAML(MetaLearner):
    """Adapts by descending support loss + lambda/2 ||v - w||^2; needs no derivative of the path.

    At the inner minimum v the meta-gradient is (I + H / lambda)^-1 g, with g the query gradient
    and H the Hessian of the support loss, both at v (the paper's equation 6). It is solved by
    conjugate gradients on Hessian-vector products, so memory does not grow with inner steps.

    The system is positive definite only while lambda exceeds the most negative curvature of the
    support loss; where a direction's curvature is not positive, conjugate gradients stop there
    and the meta-gradient is what they have reached. Take a larger lambda then.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: gradient steps of the inner problem (the paper's: 16).
        regularization: lambda.
        cg_steps: conjugate-gradient steps (the paper's: 5).
        cg_tolerance: stop once the residual is this share of g in norm.
        **options: of `MetaLearner`.
    """

    second_order = True
    breaks_constraints = "the implicit gradient is of a minimum without bounds"

    def __init__(
        self,
        network,
        inner_rate=0.1,
        inner_steps=16,
        *,
        regularization=2.0,
        cg_steps=5,
        cg_tolerance=0.0,
        **options,
    ):
        super().__init__(network, inner_rate, inner_steps, **options)
        if not regularization > 0:
            raise ValueError(
                f"regularization must be above 0. Received: {regularization!r}. "
                "Take tfmeta.MAML(first_order=True) for an unregularised inner problem."
            )
        self.regularization = regularization
        self.cg_steps = cg_steps
        self.cg_tolerance = cg_tolerance

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """(I + H / lambda)^-1 g for the weights that adapt; g for the others."""
        adaptation = self.adapt_weights(
            parameters, task.support, self.inner_steps, state, key, training=True
        )
        weights = [tf.stop_gradient(weight) for weight in adaptation.weights]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs, loss, network_state = self._query(weights, state, task)
        gradient = inner.gradient(tape, loss, weights, self.parameter_paths, what="query loss")
        if not self.inner_steps:  # No inner problem: its solution is the initialisation.
            state = self._with_network_state(adaptation.state, network_state)
            return TaskGradient(gradient, outputs, state, {"loss": loss})
        direct = [gradient[index] for index in self._adapted]
        # Both terms at the state of the inner problem, not at that which the queries leave.
        inner_state = self._network_state(state)
        solved = self._solve(weights, direct, task.support, inner_state)
        if len(self._adapted) < len(weights):
            gradient = self._with_mixed_terms(gradient, solved, weights, task.support, inner_state)
        state = self._with_network_state(adaptation.state, network_state)
        return TaskGradient(self._filled(gradient, solved), outputs, state, {"loss": loss})

    def _support_loss_of(self, weights, support, network_state):
        return lambda adapted: self._set_loss(
            self._filled(weights, adapted), network_state, support
        )

    def _solve(self, weights, direct, support, network_state):
        adapted = [weights[index] for index in self._adapted]
        loss = self._support_loss_of(weights, support, network_state)
        hessian = inner.hessian_operator(loss, adapted)

        def operator(vector):
            product = hessian(vector)
            return [v + p / self.regularization for v, p in zip(vector, product, strict=True)]

        return inner.conjugate_gradient(
            operator,
            direct,
            self.cg_steps,
            tolerance=self.cg_tolerance,
            unroll=self.cg_steps <= MAX_UNROLLED_STEPS,
        )

    def _with_mixed_terms(self, gradient, solved, weights, support, network_state):
        """Adds, for weights u that do not adapt, what they change through the inner minimum.

        dv/du = -(lambda I + H)^-1 d2L/dvdu, so the term is -(d2L/dudv) x / lambda with x the
        solution for the weights that adapt.
        """
        others = [index for index in range(len(weights)) if index not in set(self._adapted)]
        fixed = [weights[index] for index in others]

        def filled(values):
            result = list(weights)
            for index, value in zip(others, values, strict=True):
                result[index] = value
            return result

        with tf.GradientTape() as outer:
            outer.watch(fixed)
            current = filled(fixed)
            adapted = [current[index] for index in self._adapted]
            with tf.GradientTape() as tape:
                tape.watch(adapted)
                loss = self._set_loss(self._filled(current, adapted), network_state, support)
            first = inner.gradient(tape, loss, adapted, self.adapted_paths, what="support loss")
            product = inner.dot(first, [tf.stop_gradient(value) for value in solved])
        mixed = outer.gradient(product, fixed, unconnected_gradients="zero")
        corrected = list(gradient)
        for index, term in zip(others, mixed, strict=True):
            corrected[index] -= tf.convert_to_tensor(term) / self.regularization
        return corrected

    def _inner_objective(self, loss, current, start):
        distance = tf.add_n(
            [tf.reduce_sum(tf.square(v - w)) for v, w in zip(current, start, strict=True)]
        )
        return loss + 0.5 * self.regularization * distance

    def get_config(self):
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "cg_steps": self.cg_steps,
            "cg_tolerance": self.cg_tolerance,
        }
