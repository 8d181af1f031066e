"""LLAMA (Grant et al. 2018, "Recasting Gradient-Based Meta-Learning as Hierarchical Bayes")."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.probabilistic import ProbabilisticLearner
from tfmeta.learners.pure_functions import TaskGradient
from tfmeta.parallel import map_tasks

PRECISIONS = {"kronecker": inner.KroneckerPrecision, "full": inner.FullPrecision}


@keras.saving.register_keras_serializable("tfmeta")
class LLAMA(ProbabilisticLearner):
    """MAML whose adapted weights are the mode of a Gaussian: Laplace's approximation to a task.

    Adaptation is gradient descent on the support set to phi. A task's posterior there is
    N(phi, H^-1), H the curvature of the support set's negative log-likelihood plus
    `prior_precision` I (`tfmeta.inner.laplace`), from which samples are drawn. The meta-gradient
    is that of the Laplace approximation of the marginal likelihood (the paper's subroutine 4),

        -1/Q log p(query | phi) + determinant_weight log det H,

    through phi and H. With `determinant_weight` 0 it is MAML's on the negative log-likelihood.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        curvature: "kronecker" (a Kronecker product a weight, after the paper's) or "full".
        prior_precision: tau; the less, the wider where the support set says nothing.
        determinant_weight: eta; 1/2 in the paper's subroutine 4, 1e-6 in its experiment.
        **options: of `ProbabilisticLearner`.
    """

    def __init__(
        self,
        network,
        inner_rate=0.01,
        inner_steps=1,
        *,
        curvature="kronecker",
        prior_precision=100.0,
        determinant_weight=1e-6,
        **options,
    ):
        super().__init__(network, inner_rate, inner_steps, **options)
        if curvature not in PRECISIONS:
            raise ValueError(
                f"curvature must be one of {', '.join(map(repr, PRECISIONS))}. "
                f"Received: {curvature!r}."
            )
        if not prior_precision > 0:
            raise ValueError(f"prior_precision must be above 0. Received: {prior_precision!r}.")
        if not determinant_weight >= 0:
            raise ValueError(
                f"determinant_weight must be 0 or more. Received: {determinant_weight!r}."
            )
        self.curvature = curvature
        self.prior_precision = prior_precision
        self.determinant_weight = determinant_weight

    def initial_weights(self, parameters):
        """The initialisation, as one sample."""
        return self._one_sample(super().initial_weights(parameters))

    def adapt_weights(
        self,
        parameters,
        support,
        inner_steps,
        state,
        key,
        rate_scale=1.0,
        observe=None,
        training=False,
        samples=None,
    ):
        """As `ProbabilisticLearner`: the mode by gradient descent, then draws around it."""
        count = self.samples if samples is None else samples

        def drawn(mode):
            return self._drawn(mode, support, state, key, count)

        found = super().adapt_weights(
            parameters,
            support,
            inner_steps,
            state,
            key,
            rate_scale,
            observe and (lambda mode: observe(drawn(mode))),
            training,
            samples=1,
        )
        return found._replace(weights=drawn(found.weights))

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the queries' negative log-likelihood at the mode, and of log det H."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            mode = self._mode(parameters, task.support, state, key)
            outputs, own, network_state = self._query_samples(mode.weights, state, task)
            likelihood = self._set_log_likelihood(outputs, task.query)
            precision = self.precision(mode.weights, task.support, state)
            determinant = precision.log_determinant()
            objective = tf.reduce_mean(own - likelihood) + self.determinant_weight * determinant
        gradient = inner.gradient(
            tape, objective, parameters, self.parameter_paths, what="marginal likelihood"
        )
        combined = self.likelihood.combined(outputs)
        loss = self.loss_function(task.query.targets, combined, task.query.weights)
        state = self._with_network_state(mode.state, network_state)
        logs = {"loss": loss, "objective": objective, "log_determinant": determinant}
        return TaskGradient(gradient, combined, state, logs)

    def precision(self, mode, support, state):
        """The precision of a task's posterior.

        Args:
            mode: list of tensors, order of `network.trainable_variables`, as one sample.
            support: `Examples`.
            state: list of tensors, order of `state_variables`.

        Returns:
            An `inner.FullPrecision` or `inner.KroneckerPrecision` over the weights that adapt.
        """
        weights = self._filled(mode, [mode[index][0] for index in self._adapted])
        rows = self._curvature_rows(weights, support, self._network_state(state))
        return PRECISIONS[self.curvature](rows, self.prior_precision)

    def _mode(self, parameters, support, state, key):
        start = self._starts(parameters, support, state, key, 1)
        return self._descend(
            start, parameters, support, self.inner_steps, state, key, training=True
        )

    def _starts(self, parameters, support, state, key, samples):
        return [parameters[index][tf.newaxis] for index in self._adapted]

    def _drawn(self, mode, support, state, key, samples):
        noise = self.precision(mode, support, state).sample(self._normal(key, samples))
        centre = [mode[index] for index in self._adapted]
        return self._filled(mode, [m + n for m, n in zip(centre, noise, strict=True)])

    def _one_sample(self, weights):
        return self._filled(weights, [weights[index][tf.newaxis] for index in self._adapted])

    def _curvature_rows(self, weights, support, network_state):
        """Rows [K, *shape] whose outer products sum to the curvature of the support set."""

        def outputs_of(adapted):
            return self._pure(
                self._filled(weights, adapted),
                network_state,
                support.inputs,
                batch_statistics=self.normalization != "running",
                example_weights=support.weights,
            )[0]

        adapted = [weights[index] for index in self._adapted]
        outputs = outputs_of(adapted)
        presence = inner.element_presence(self.likelihood.kind, support.targets, outputs)
        directions = self.likelihood.curvature_roots(outputs, support.weights, presence)

        def row(direction):
            with tf.GradientTape() as tape:
                tape.watch(adapted)
                again = outputs_of(adapted)
            found = tape.gradient(again, adapted, direction, unconnected_gradients="zero")
            return [tf.convert_to_tensor(value) for value in found]

        return map_tasks(row, directions, parallel=self.parallel)

    def get_config(self):
        return {
            **super().get_config(),
            "curvature": self.curvature,
            "prior_precision": self.prior_precision,
            "determinant_weight": self.determinant_weight,
        }
