"""PLATIPUS (Finn, Xu, Levine 2018, "Probabilistic Model-Agnostic Meta-Learning")."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners import checks
from tfmeta.learners.core.adaptation import TaskContext
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent, Sampling
from tfmeta.learners.core.gradient_rule import Objective, ObjectiveGradient, TaskFunctions
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Group, Part, WeightSpec
from tfmeta.learners.core.sampled_network import sampled
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.probabilistic.bmaml import Given
from tfmeta.learners.probabilistic.predictive import PredictiveMethods
from tfmeta.tasks.task import Examples, Task


@dataclasses.dataclass(frozen=True)
class LearnedGaussian(Part):
    """N(mu - gamma grad L(mu, examples), variance) over the weights that adapt.

    mu are the network's weights; the variance of each entry and the rate gamma of each weight are
    learned.

    Attributes:
        kind: "prior" or "posterior"; begins the names of the groups.
        rate: where gamma starts: one number, or a dict from patterns to numbers.
        deviation: where the root of the variance starts.
        first_order: whether the derivative of the gradient is taken as 0 in training.
    """

    kind: str
    rate: Any
    deviation: float
    first_order: bool = False
    only_adapted = True

    def variance_group(self, network) -> Group:
        """Logarithms of the variances."""
        logarithm = 2.0 * math.log(self.deviation)
        values = [logarithm] * len(network.adapted)
        return self._group(network, "log_variance", values, scalar=False)

    def rate_group(self, network) -> Group:
        """The rates gamma."""
        return self._group(network, "rate", FixedRates(self.rate).of(network), scalar=True)

    def of(self, context: TaskContext, examples: Examples) -> inner.DiagonalGaussian:
        """The distribution that a set of examples gives."""
        network, parameters = context.network, context.parameters
        means = network.chosen(parameters.network)
        _, gradients = network.gradient(
            [mean[tf.newaxis] for mean in means],
            parameters.network,
            context.state.network,
            examples,
            context.step_key(0),
        )
        if self.first_order:
            gradients = [tf.stop_gradient(gradient) for gradient in gradients]
        moved = [
            mean - rate * gradient[0]
            for mean, rate, gradient in zip(
                means, getattr(parameters, f"{self.kind}_rate"), gradients, strict=True
            )
        ]
        log_variances = list(getattr(parameters, f"{self.kind}_log_variance"))
        return inner.DiagonalGaussian(moved, log_variances)

    def _group(self, network, what, values, *, scalar):
        name = f"{self.kind}_{what}"
        entries = [
            WeightSpec(
                path=f"{name}/{path}",
                shape=() if scalar else tuple(variable.shape),
                dtype=variable.dtype,
                initializer=keras.initializers.Constant(value),
                name=f"{name}_{path.replace('/', '_')}",
            )
            for variable, path, value in zip(
                network.adapted_variables, network.adapted_paths, values, strict=True
            )
        ]
        return Group(name, entries)


@dataclasses.dataclass(frozen=True)
class PriorSamples(Part):
    """Gradient steps begin at draws from p(theta | support).

    Attributes:
        prior: p.
    """

    prior: LearnedGaussian
    only_adapted = True

    def start(self, context: TaskContext) -> list:
        """Draws [n, *shape] of each weight that adapts."""
        network = sampled(context.network)
        noise = network.normal(context.key, network.samples)
        return self.prior.of(context, context.support).sample(noise)


@dataclasses.dataclass(frozen=True)
class VariationalBound(ObjectiveGradient):
    """-1/Q log p(query | adapted theta) + kl_weight / Q KL(q || p), theta drawn from q.

    Attributes:
        prior: p(theta | support).
        posterior: q(theta | query).
        kl_weight: factor of the divergence; 1 is the bound.
        first_order: whether the derivative of the inner gradients is taken as 0.
    """

    prior: LearnedGaussian
    posterior: LearnedGaussian
    kl_weight: float
    first_order: bool = False
    described_as = "variational bound"

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def groups(self, network) -> list[Group]:
        """Variances of both distributions, then rates of both."""
        both = (self.prior, self.posterior)
        return [
            *(one.variance_group(network) for one in both),
            *(one.rate_group(network) for one in both),
        ]

    def objective(self, functions: TaskFunctions, parameters, task: Task, state, key) -> Objective:
        """The negative variational bound per query, at the key's draw of theta."""
        network = sampled(functions.network)
        context = functions.context(
            parameters, task.support, state, key, first_order=self.first_order
        )
        prior = self.prior.of(context, task.support)
        posterior = self.posterior.of(context, task.query)
        adapted = functions.starting_from(Given(posterior.sample(network.normal(key, 1)))).adapt(
            parameters, task.support, state, key, first_order=self.first_order
        )
        outputs, own, network_state = network.query_samples(adapted.weights, state.network, task)
        likelihood = network.log_likelihood(outputs, task.query)
        divergence = inner.kl_divergence(posterior, prior)
        count = tf.cast(tf.shape(outputs)[1], divergence.dtype)
        if task.query.weights is not None:
            total = tf.reduce_sum(tf.cast(task.query.weights, divergence.dtype))
            count = tf.maximum(total, 1.0)
        value = tf.reduce_mean(own - likelihood) + self.kl_weight * divergence / count
        combined = network.likelihood.combined(outputs)
        loss = network.loss(task.query.targets, combined, task.query.weights)
        logs = {"loss": loss, "objective": value, "divergence": divergence}
        return Objective(value, combined, adapted.state._replace(network=network_state), logs)


@keras.saving.register_keras_serializable("tfmeta")
class PLATIPUS(PredictiveMethods, MetaLearner):
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

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.PLATIPUS(network, inner_rate=0.01, inner_steps=2, noise=0.3)
        >>> learner.compile("adam", "mse")
        >>> support = next(iter(tfmeta.tasks.sinusoid("train", shots=5, seed=0).batch(2)))[0][:2]
        >>> [tuple(weight.shape) for weight in learner.task_samples(*support, samples=4)][:2]
        [(2, 4, 1, 8), (2, 4, 8)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates; gamma_p and gamma_q start
            from it.
        inner_steps: in training.
        deviation: what sigma and the root of v_q start from.
        kl_weight: factor of the divergence; 1 is the bound.
        samples: n, number of weights that adaptation gives.
        noise: standard deviation of a regression's targets around the output, in their unit.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    gradient_rule: VariationalBound
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 1,
        *,
        deviation: float = 0.02,
        kl_weight: float = 1.0,
        samples: int = 10,
        noise: float = 0.1,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
        for name, value in (("deviation", deviation), ("kl_weight", kl_weight)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0. Received: {value!r}.")
        optimizer = optimizers.get(inner_optimizer)
        prior, posterior = (
            LearnedGaussian(kind, inner_rate, deviation, first_order)
            for kind in ("prior", "posterior")
        )
        super().__init__(
            network,
            GradientDescent(
                rates=FixedRates(inner_rate),
                optimizer=optimizer,
                initial=PriorSamples(prior),
                sampling=Sampling(checks.check_samples(samples), checks.check_noise(noise)),
            ),
            VariationalBound(prior, posterior, kl_weight, first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.deviation = deviation
        self.kl_weight = kl_weight
        self.first_order = first_order
        self.inner_optimizer = optimizer

    @property
    def prior_log_variances(self) -> list:
        """Logarithms of sigma^2, one variable a weight that adapts, of its shape."""
        return self.variables_of("prior_log_variance")

    @property
    def posterior_log_variances(self) -> list:
        """Logarithms of v_q, one variable a weight that adapts, of its shape."""
        return self.variables_of("posterior_log_variance")

    @property
    def prior_rates(self) -> list:
        """gamma_p, one variable [] a weight that adapts."""
        return self.variables_of("prior_rate")

    @property
    def posterior_rates(self) -> list:
        """gamma_q, one variable [] a weight that adapts."""
        return self.variables_of("posterior_rate")

    def prior(
        self,
        parameters: Sequence[tf.Tensor],
        support: Examples,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
    ) -> inner.DiagonalGaussian:
        """p(theta | support) over the weights that adapt; arguments as of `adapt_weights`."""
        context = self.task_context(parameters, support, state, key)
        return self.gradient_rule.prior.of(context, support)

    def posterior(
        self,
        parameters: Sequence[tf.Tensor],
        query: Examples,
        state: Sequence[tf.Tensor],
        key: tf.Tensor,
    ) -> inner.DiagonalGaussian:
        """q(theta | query) over the weights that adapt; arguments as of `adapt_weights`."""
        context = self.task_context(parameters, query, state, key)
        return self.gradient_rule.posterior.of(context, query)
