"""PLATIPUS (Finn, Xu, Levine 2018, "Probabilistic Model-Agnostic Meta-Learning")."""

import math

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.probabilistic import ProbabilisticLearner
from tfmeta.learners.pure_functions import TaskGradient


@keras.saving.register_keras_serializable("tfmeta")
class PLATIPUS(ProbabilisticLearner):
    """Learns a distribution of initialisations, by a variational bound of the queries' likelihood.

    A task's initialisation is drawn from p(theta | support) = N(mu - gamma_p grad L(mu, support),
    sigma^2), and adapted by gradient descent on the support set (the paper's algorithm 2). In
    training it is drawn from q(theta | query) = N(mu - gamma_q grad L(mu, query), v_q), and the
    meta-gradient (algorithm 1) is that of

        -1/Q log p(query | adapted theta) + kl_weight / Q KL(q || p),

    the paper's negative bound per query, by one draw of theta (the reparameterisation of Kingma
    and Welling 2014). mu are the network's weights; sigma^2 and v_q, one a weight's entry, and
    gamma_p and gamma_q, one a weight, are learned with it. L is the inner loss, a mean over a set.
    Weights that do not adapt have one value and no distribution.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates; gamma_p and gamma_q start
            from it.
        inner_steps: in training.
        deviation: what sigma and the root of v_q start from.
        kl_weight: factor of the divergence; 1 is the bound.
        **options: of `ProbabilisticLearner`.
    """

    def __init__(
        self, network, inner_rate=0.01, inner_steps=1, *, deviation=0.02, kl_weight=1.0, **options
    ):
        super().__init__(network, inner_rate, inner_steps, **options)
        for name, value in (("deviation", deviation), ("kl_weight", kl_weight)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0. Received: {value!r}.")
        self.deviation = deviation
        self.kl_weight = kl_weight
        adapted = [self.network.trainable_variables[index] for index in self._adapted]
        shapes = [tuple(variable.shape) for variable in adapted]
        logarithms = [2.0 * math.log(deviation)] * len(shapes)
        scalars = [()] * len(shapes)
        self.prior_log_variances = self._build("prior_log_variance", shapes, logarithms)
        self.posterior_log_variances = self._build("posterior_log_variance", shapes, logarithms)
        self.prior_rates = self._build("prior_rate", scalars, self._rates)
        self.posterior_rates = self._build("posterior_rate", scalars, self._rates)

    @property
    def parameter_variables(self):
        """The network's weights, then logarithms of sigma^2 and v_q, then gamma_p and gamma_q."""
        return [
            *super().parameter_variables,
            *self.prior_log_variances,
            *self.posterior_log_variances,
            *self.prior_rates,
            *self.posterior_rates,
        ]

    @property
    def parameter_paths(self):
        """Paths of the weights, then those of the adapted ones behind each learned quantity."""
        kinds = ("prior_log_variance", "posterior_log_variance", "prior_rate", "posterior_rate")
        learned = [f"{kind}/{path}" for kind in kinds for path in self.adapted_paths]
        return [*super().parameter_paths, *learned]

    def initial_weights(self, parameters):
        """mu, as one sample."""
        weights = super().initial_weights(parameters)
        return self._filled(weights, [weights[index][tf.newaxis] for index in self._adapted])

    def prior(self, parameters, support, state, key) -> inner.DiagonalGaussian:
        """p(theta | support), over the weights that adapt."""
        return self._moved(parameters, support, state, key, first=0)

    def posterior(self, parameters, query, state, key) -> inner.DiagonalGaussian:
        """q(theta | query), over the weights that adapt."""
        return self._moved(parameters, query, state, key, first=1)

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the negative variational bound per query, at the key's draw of theta."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            prior = self.prior(parameters, task.support, state, key)
            posterior = self.posterior(parameters, task.query, state, key)
            adaptation = self._descend(
                posterior.sample(self._normal(key, 1)),
                parameters,
                task.support,
                self.inner_steps,
                state,
                key,
                training=True,
            )
            outputs, own, network_state = self._query_samples(adaptation.weights, state, task)
            likelihood = self._set_log_likelihood(outputs, task.query)
            divergence = inner.kl_divergence(posterior, prior)
            count = tf.cast(tf.shape(outputs)[1], divergence.dtype)
            if task.query.weights is not None:
                total = tf.reduce_sum(tf.cast(task.query.weights, divergence.dtype))
                count = tf.maximum(total, 1.0)
            objective = tf.reduce_mean(own - likelihood) + self.kl_weight * divergence / count
        gradient = inner.gradient(
            tape, objective, parameters, self.parameter_paths, what="variational bound"
        )
        combined = self.likelihood.combined(outputs)
        loss = self.loss_function(task.query.targets, combined, task.query.weights)
        state = self._with_network_state(adaptation.state, network_state)
        logs = {"loss": loss, "objective": objective, "divergence": divergence}
        return TaskGradient(gradient, combined, state, logs)

    def _starts(self, parameters, support, state, key, samples):
        prior = self.prior(parameters, support, state, key)
        return prior.sample(self._normal(key, samples))

    def _moved(self, parameters, examples, state, key, first):
        """N(mu - gamma grad L(mu, examples), variances); `first` is 0 for p and 1 for q."""
        count = len(self._adapted)
        learned = parameters[self._weight_count :]
        log_variances, rates = (
            learned[(kind + first) * count : (kind + first + 1) * count] for kind in (0, 2)
        )
        weights = list(parameters[: self._weight_count])
        means = [weights[index] for index in self._adapted]
        _, gradients = self._inner_gradient(
            0,
            [mean[tf.newaxis] for mean in means],
            weights,
            examples,
            self._network_state(state),
            key,
        )
        if self.first_order:
            gradients = [tf.stop_gradient(gradient) for gradient in gradients]
        moved = [
            mean - rate * gradient[0]
            for mean, rate, gradient in zip(means, rates, gradients, strict=True)
        ]
        return inner.DiagonalGaussian(moved, list(log_variances))

    def _build(self, kind, shapes, values):
        return [
            self.add_weight(
                shape=shape,
                dtype=self.network.trainable_variables[index].dtype,
                initializer=keras.initializers.Constant(value),
                name=f"{kind}_{path.replace('/', '_')}",
            )
            for index, path, shape, value in zip(
                self._adapted, self.adapted_paths, shapes, values, strict=True
            )
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "deviation": self.deviation,
            "kl_weight": self.kl_weight,
        }
