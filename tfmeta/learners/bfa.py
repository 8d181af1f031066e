"""BFA, Bayesian fast adaptation (Kim et al. 2018, section 3.1): SVGD in the inner loop."""

import keras
import tensorflow as tf

from tfmeta import inner
from tfmeta.learners.likelihood import log_mean_exp
from tfmeta.learners.probabilistic import ProbabilisticLearner
from tfmeta.learners.pure_functions import TaskGradient


@keras.saving.register_keras_serializable("tfmeta")
class BFA(ProbabilisticLearner):
    """Adapts M particles together by Stein variational gradient descent.

    The initialisation is M particles, one value a particle of each weight that adapts; the other
    weights are shared. An inner step moves them along `tfmeta.inner.svgd_direction` towards the
    density proportional to exp(-support loss / temperature). The meta-gradient is that of
    -1/Q log (1/M sum_m p(query set | particle m)), the paper's equation 6, per query. With one
    particle this is MAML on the negative log-likelihood.

    Since a particle's step is a mean over M of what all others say, particles that are far apart
    move by 1/M of their own gradient: the inner rate is about M / 2 times MAML's.

    The particles are the learner's own variables; the wrapped network keeps, of the weights that
    adapt, the values that it was made with.

    Args:
        network: a built `keras.Model` with one output.
        inner_rate: of all weights, or a dict from patterns to rates.
        inner_steps: in training.
        particles: M.
        temperature: of the density that particles descend to. The posterior of S examples with a
            flat prior has 1 / S for a cross-entropy and 2 noise^2 / S for a squared error; 0
            leaves the repulsion out.
        spread: how far the particles start from the network's weights, from 0 (all there) to 1
            (each drawn anew with the mean and deviation of the entries of each weight).
        **options: of `ProbabilisticLearner`, but for `samples`.
    """

    def __init__(
        self,
        network,
        inner_rate=0.05,
        inner_steps=1,
        *,
        particles=5,
        temperature=1e-3,
        spread=1.0,
        **options,
    ):
        super().__init__(network, inner_rate, inner_steps, samples=particles, **options)
        if not temperature >= 0:
            raise ValueError(
                f"temperature must be 0 or more. Received: {temperature!r}. "
                "Pass 1 / S for the posterior of S examples under a cross-entropy."
            )
        if not 0 <= spread <= 1:
            raise ValueError(
                f"spread must be from 0 to 1. Received: {spread!r}. "
                "Pass 1 for particles that start independent of one another."
            )
        self.temperature = temperature
        self.spread = spread
        self.particle_variables = [
            self._build_particles(self.network.trainable_variables[index], path)
            for index, path in zip(self._adapted, self.adapted_paths, strict=True)
        ]

    @property
    def parameter_variables(self):
        """The network's trainable weights; particles [M, *shape] in place of those that adapt."""
        return self._filled(super().parameter_variables, self.particle_variables)

    def task_gradient(self, parameters, task, state, key) -> TaskGradient:
        """Gradient of the particles' negative log-likelihood of the query set, per query."""
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            adaptation = self.adapt_weights(
                parameters, task.support, self.inner_steps, state, key, training=True
            )
            outputs, own, network_state = self._query_samples(adaptation.weights, state, task)
            objective = self._negative_log_likelihood(outputs, task.query) + tf.reduce_mean(own)
        gradient = inner.gradient(
            tape, objective, parameters, self.parameter_paths, what="query loss"
        )
        combined = self.likelihood.combined(outputs)
        loss = self.loss_function(task.query.targets, combined, task.query.weights)
        state = self._with_network_state(adaptation.state, network_state)
        return TaskGradient(gradient, combined, state, {"loss": loss, "objective": objective})

    def _negative_log_likelihood(self, outputs, query):
        count = tf.cast(tf.shape(outputs)[1], outputs.dtype)
        if query.weights is not None:
            count = tf.maximum(tf.reduce_sum(tf.cast(query.weights, outputs.dtype)), 1.0)
        return -log_mean_exp(count * self._set_log_likelihood(outputs, query)) / count

    def _starts(self, parameters, support, state, key, samples):
        if samples != self.samples:
            raise ValueError(
                f"The samples are the {self.samples} particles. Received: samples={samples}. "
                f"Leave it out, or make the learner with particles={samples}."
            )
        return [parameters[index] for index in self._adapted]

    def _directions(self, particles, gradients):
        return inner.svgd_direction(particles, gradients, self.temperature)

    def _build_particles(self, variable, path):
        start = keras.ops.convert_to_tensor(variable)
        middle, deviation = keras.ops.mean(start), keras.ops.std(start)
        noise = keras.random.normal((self.samples, *variable.shape), dtype=variable.dtype)
        kept = (1.0 - self.spread**2) ** 0.5
        particles = self.add_weight(
            shape=noise.shape,
            dtype=variable.dtype,
            initializer="zeros",
            name="particles_" + path.replace("/", "_"),
        )
        particles.assign(middle + kept * (start - middle) + self.spread * deviation * noise)
        return particles

    def get_config(self):
        config = {
            **super().get_config(),
            "particles": self.samples,
            "temperature": self.temperature,
            "spread": self.spread,
        }
        config.pop("samples")
        return config
