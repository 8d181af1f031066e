"""Two learners written outside the library, from the public names of `tfmeta.parts` alone."""

import dataclasses

import keras
import tensorflow as tf

import tfmeta
from tfmeta.parts import (
    FixedRates,
    GradientDescent,
    GradientRule,
    Group,
    Part,
    QueryGradient,
    TaskGradient,
    WeightSpec,
)


@dataclasses.dataclass(frozen=True)
class ShrinkingRates(FixedRates):
    """Each inner step has a smaller rate than the step before: `rate * shrink ** index`."""

    shrink: float = 0.5

    def check_network(self, network):
        super().check_network(network)
        if not 0 < self.shrink <= 1:
            raise ValueError(
                f"shrink must be above 0, and 1 or less. Received: {self.shrink!r}. "
                "Pass 0.5 to halve the rate at each step."
            )

    def at_step(self, prepared, index, values, gradients):
        # `tf.cast` would round a Python float to float32; a request's rates are float32 tensors.
        return [
            tf.pow(tf.constant(self.shrink, value.dtype), tf.cast(index, value.dtype))
            * (tf.cast(rate, value.dtype) if tf.is_tensor(rate) else rate)
            for rate, value in zip(prepared, values, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class MomentumRule(GradientRule):
    """The query gradient at the adapted weights (first order), with momentum over meta-steps."""

    decay: float = 0.9
    changes = ("velocity",)

    def groups(self, network):
        entries = [
            WeightSpec(f"velocity/{path}", tuple(v.shape), v.dtype, "zeros", f"velocity_{i}")
            for i, (path, v) in enumerate(
                zip(network.paths, network.pure.network.trainable_variables, strict=True)
            )
        ]
        return [Group("velocity", entries, learned=False)]

    def task_gradient(self, functions, parameters, task, state, key):
        adapted = functions.adapt(parameters, task.support, state, key)
        reached = parameters._replace(network=adapted.weights)
        with tf.GradientTape() as tape:
            tape.watch(reached)
            answers = functions.network.query(reached.network, state.network, task)
        gradient = functions.gradient(tape, answers.loss, reached).network
        velocity = [
            self.decay * old + new for old, new in zip(state.velocity, gradient, strict=True)
        ]
        state = adapted.state._replace(network=answers.network_state, velocity=velocity)
        return TaskGradient(
            parameters._replace(network=velocity), answers.outputs, state, {"loss": answers.loss}
        )


def momentum_learner(network, inner_rate=0.1, inner_steps=2, decay=0.9, **options):
    """First-order MAML with shrinking inner rates and momentum: composed, without a class."""
    return tfmeta.MetaLearner(
        network,
        adaptation=GradientDescent(rates=ShrinkingRates(inner_rate)),
        gradient_rule=MomentumRule(decay),
        inner_steps=inner_steps,
        **options,
    )


@dataclasses.dataclass(frozen=True)
class CentroidStart(Part):
    """The head begins as the classifier of the nearest class mean, relative to the mean of all."""

    needs_embedding = True

    def start(self, context):
        network, weights = context.network, context.parameters.network
        features, _, _ = network.embedding.embed(
            weights,
            context.state.network,
            context.support,
            batch_statistics=network.batch_statistics,
        )
        members = network.embedding.memberships(context.support, features.dtype, network.inner_loss)
        counts = tf.reduce_sum(members, axis=0)[:, tf.newaxis]
        means = tf.math.divide_no_nan(tf.matmul(members, features, transpose_a=True), counts)
        kernel = tf.transpose(means - tf.reduce_mean(features, axis=0))
        bias = -tf.reduce_sum(tf.square(kernel), axis=0) / 2
        return network.chosen(network.embedding.with_head(weights, [kernel, bias]))

    def without_gradient(self, network):
        return network.embedding.head_paths


@keras.saving.register_keras_serializable("tests")
class CentroidMAML(tfmeta.MetaLearner):
    """MAML whose head begins at the class means, with shrinking inner rates."""

    chooses = ("adaptation", "gradient_rule")

    def __init__(self, network, inner_rate=0.1, inner_steps=2, *, shrink=0.5, **options):
        rates = ShrinkingRates(inner_rate, shrink)
        super().__init__(
            network,
            adaptation=GradientDescent(rates=rates, initial=CentroidStart()),
            gradient_rule=QueryGradient(),
            inner_steps=inner_steps,
            **options,
        )
        self.shrink = shrink
