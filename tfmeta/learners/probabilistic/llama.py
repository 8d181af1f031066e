"""LLAMA (Grant et al. 2018, "Recasting Gradient-Based Meta-Learning as Hierarchical Bayes")."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.inner import optimizers
from tfmeta.learners import checks
from tfmeta.learners.core.adaptation import Adaptation, TaskContext
from tfmeta.learners.core.gradient_descent import (
    FixedRates,
    GradientDescent,
    Initialization,
    Sampling,
)
from tfmeta.learners.core.gradient_rule import Objective, ObjectiveGradient, TaskFunctions
from tfmeta.learners.core.options import LearnerOptions
from tfmeta.learners.core.parts import Part
from tfmeta.learners.core.sampled_network import sampled
from tfmeta.learners.core.task_network import TaskNetwork
from tfmeta.learners.meta_learner import MetaLearner
from tfmeta.learners.probabilistic.predictive import PredictiveMethods
from tfmeta.parallel import map_tasks
from tfmeta.tasks.task import Examples, Task

PRECISIONS = {"kronecker": inner.KroneckerPrecision, "full": inner.FullPrecision}


class OneSample(Initialization):
    """Gradient steps begin at the initialisation, as one sample."""

    only_adapted = True

    def start(self, context: TaskContext) -> list:
        """Values [1, *shape] of the weights that adapt."""
        return [weight[tf.newaxis] for weight in super().start(context)]


@dataclasses.dataclass(frozen=True)
class LaplacePosterior(Part):
    """N(mode, H^-1), H the curvature of the support set plus `prior_precision` I.

    Attributes:
        curvature: "kronecker" or "full".
        prior_precision: tau.
    """

    curvature: str
    prior_precision: float
    only_adapted = True

    def precision(self, context: TaskContext, mode) -> Any:
        """H at the mode: an `inner.FullPrecision` or `inner.KroneckerPrecision`.

        Args:
            context: of the task.
            mode: list of tensors, order of `network.trainable_variables`, as one sample.
        """
        rows = self._curvature_rows(context, sampled(context.network).single(mode))
        return PRECISIONS[self.curvature](rows, self.prior_precision)

    def drawn(self, context: TaskContext, mode) -> list:
        """Samples [n, *shape] around the mode, in a list of all weights."""
        network = sampled(context.network)
        normal = network.normal(context.key, network.samples)
        noise = self.precision(context, mode).sample(normal)
        centre = network.chosen(mode)
        return network.filled(mode, [m + n for m, n in zip(centre, noise, strict=True)])

    def _curvature_rows(self, context, weights):
        """Rows [K, *shape] whose outer products sum to the curvature of the support set."""
        network, support = context.network, context.support

        def outputs_of(values):
            return network.pure(
                network.filled(weights, values),
                context.state.network,
                support.inputs,
                batch_statistics=network.batch_statistics,
                example_weights=support.weights,
            )[0]

        adapted = network.chosen(weights)
        outputs = outputs_of(adapted)
        presence = inner.element_presence(network.likelihood.kind, support.targets, outputs)
        directions = network.likelihood.curvature_roots(outputs, support.weights, presence)

        def row(direction):
            with tf.GradientTape() as tape:
                tape.watch(adapted)
                again = outputs_of(adapted)
            found = tape.gradient(again, adapted, direction, unconnected_gradients="zero")
            return [tf.convert_to_tensor(value) for value in found]

        return map_tasks(row, directions, parallel=network.parallel)


@dataclasses.dataclass(frozen=True)
class SamplesAroundMode(Adaptation):
    """The mode by gradient descent, then draws from the Gaussian around it.

    Attributes:
        descent: to the mode.
        posterior: the Gaussian.
    """

    descent: GradientDescent
    posterior: LaplacePosterior
    only_adapted = True

    @property
    def inner_rate(self) -> Any:
        """The rate of the descent."""
        return self.descent.inner_rate

    @property
    def sees_whole_set(self) -> bool:
        """As the descent."""
        return self.descent.sees_whole_set

    def end(self, context: TaskContext, carry) -> Any:
        """As the descent."""
        return self.descent.end(context, carry)

    def task_network(self, **attributes) -> TaskNetwork:
        """The network of several weights."""
        return self.descent.task_network(**attributes)

    def prepare(self, context: TaskContext) -> Any:
        """As the descent."""
        return self.descent.prepare(context)

    def start(self, context: TaskContext) -> Any:
        """As the descent."""
        return self.descent.start(context)

    def step(self, context: TaskContext, index, carry) -> tuple[Any, tf.Tensor]:
        """As the descent."""
        return self.descent.step(context, index, carry)

    def finish(self, context: TaskContext, done, carry) -> list:
        """Draws around the mode that the descent reached."""
        return self.posterior.drawn(context, self.descent.finish(context, done, carry))


@dataclasses.dataclass(frozen=True)
class LaplaceLikelihood(ObjectiveGradient):
    """-1/Q log p(query | mode) + determinant_weight log det H (the paper's subroutine 4).

    Attributes:
        posterior: the Gaussian around the mode.
        determinant_weight: eta.
        first_order: whether the derivative of the inner gradients is taken as 0.
    """

    posterior: LaplacePosterior
    determinant_weight: float
    first_order: bool = False
    described_as = "marginal likelihood"

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of the network are needed."""
        return not self.first_order

    def objective(self, functions: TaskFunctions, parameters, task: Task, state, key) -> Objective:
        """The Laplace approximation of the negative log marginal likelihood, per query."""
        network = sampled(functions.network)
        adaptation: Any = functions.adaptation  # `SamplesAroundMode`
        to_mode = dataclasses.replace(functions, adaptation=adaptation.descent)
        mode = to_mode.adapt(parameters, task.support, state, key, first_order=self.first_order)
        outputs, own, network_state = network.query_samples(mode.weights, state.network, task)
        likelihood = network.log_likelihood(outputs, task.query)
        context = functions.context(parameters, task.support, state, key)
        determinant = self.posterior.precision(context, mode.weights).log_determinant()
        value = tf.reduce_mean(own - likelihood) + self.determinant_weight * determinant
        combined = network.likelihood.combined(outputs)
        loss = network.loss(task.query.targets, combined, task.query.weights)
        logs = {"loss": loss, "objective": value, "log_determinant": determinant}
        return Objective(value, combined, mode.state._replace(network=network_state), logs)


@keras.saving.register_keras_serializable("tfmeta")
class LLAMA(PredictiveMethods, MetaLearner):
    """MAML whose adapted weights are the mode of a Gaussian: Laplace's approximation to a task.

    Adaptation is gradient descent on the support set to phi. A task's posterior there is
    N(phi, H^-1), H the curvature of the support set's negative log-likelihood plus
    `prior_precision` I (`tfmeta.inner.laplace`), from which samples are drawn. The meta-gradient
    is that of the Laplace approximation of the marginal likelihood (the paper's subroutine 4),

        -1/Q log p(query | phi) + determinant_weight log det H,

    through phi and H. With `determinant_weight` 0 it is MAML's on the negative log-likelihood.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.mlp(hidden=(8,))
        >>> learner = tfmeta.LLAMA(network, inner_rate=0.01, inner_steps=2, noise=0.3)
        >>> learner.compile("adam", "mse")
        >>> support = next(iter(tfmeta.tasks.sinusoid("train", shots=5, seed=0).batch(2)))[0][:2]
        >>> [tuple(weight.shape) for weight in learner.task_samples(*support, samples=4)][:2]
        [(2, 4, 1, 8), (2, 4, 8)]

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        curvature: "kronecker" (a Kronecker product a weight, after the paper's) or "full".
        prior_precision: tau; the less, the wider where the support set says nothing.
        determinant_weight: eta; 1/2 in the paper's subroutine 4, 1e-6 in its experiment.
        samples: n, number of weights that adaptation gives.
        noise: standard deviation of a regression's targets around the output, in their unit.
        first_order: whether to leave second derivatives out.
        inner_optimizer: "sgd", "momentum", "adam", or an instance of `tfmeta.inner.SGD`, `.Adam`.
        **options: of `MetaLearner`.
    """

    gradient_rule: LaplaceLikelihood
    chooses = ("adaptation", "gradient_rule")

    def __init__(
        self,
        network: keras.Model,
        inner_rate: Any = 0.01,
        inner_steps: int = 1,
        *,
        curvature: str = "kronecker",
        prior_precision: float = 100.0,
        determinant_weight: float = 1e-6,
        samples: int = 10,
        noise: float = 0.1,
        first_order: bool = False,
        inner_optimizer: Any = "sgd",
        **options: Unpack[LearnerOptions],
    ):
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
        optimizer = optimizers.get(inner_optimizer)
        descent = GradientDescent(
            rates=FixedRates(inner_rate),
            optimizer=optimizer,
            initial=OneSample(),
            sampling=Sampling(checks.check_samples(samples), checks.check_noise(noise)),
        )
        posterior = LaplacePosterior(curvature, prior_precision)
        super().__init__(
            network,
            SamplesAroundMode(descent, posterior),
            LaplaceLikelihood(posterior, determinant_weight, first_order),
            inner_steps=inner_steps,
            **options,
        )
        self.curvature = curvature
        self.prior_precision = prior_precision
        self.determinant_weight = determinant_weight
        self.first_order = first_order
        self.inner_optimizer = optimizer

    def precision(self, mode: Sequence[tf.Tensor], support: Examples, state: Any) -> Any:
        """The precision of a task's posterior.

        Args:
            mode: list of tensors, order of `network.trainable_variables`, as one sample.
            support: the support set.
            state: list of tensors, order of `state_variables`.

        Returns:
            An `inner.FullPrecision` or `inner.KroneckerPrecision` over the weights that adapt.
        """
        context = self.task_context(self.parameter_variables, support, state, None)
        return self.gradient_rule.posterior.precision(context, mode)
