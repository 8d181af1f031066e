"""CAVIA: context parameters descend from zero, all other weights stay, and learn outside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, descend, relative_error, values

RATE, STEPS = 0.5, 2


@pytest.fixture(scope="module")
def learner():
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.context_mlp(3, (4,), 2, 2, activation="tanh", dtype="float64")
    network.trainable_variables[0].assign([1.0, -2.0, 3.0])  # where no task may begin
    return compiled(tfmeta.CAVIA(network, inner_rate=RATE, inner_steps=STEPS))


def forward(context, shared, inputs):
    """The network, written out."""
    kernel, bias, head, head_bias = shared
    repeated = tf.repeat(context[tf.newaxis], len(inputs), axis=0)
    hidden = tf.tanh(tf.concat([inputs, repeated], axis=1) @ kernel + bias)
    return hidden @ head + head_bias


def adapted_context(shared, support):
    """Steps of gradient descent from zero on the mean squared error."""

    def loss(weights, examples):
        return tf.reduce_mean(
            (forward(weights[0], shared, examples.inputs) - examples.targets) ** 2
        )

    return descend([tf.zeros(3, "float64")], support, RATE, STEPS, loss)[0]


def query_loss(shared, task):
    answers = forward(adapted_context(shared, task.support), shared, task.query.inputs)
    return tf.reduce_mean((answers - task.query.targets) ** 2)


def test_the_context_takes_steps_from_zero_and_nothing_else_moves(problem, learner):
    adapted = learner.task_weights(problem.support_x, problem.support_y)
    shared = values(learner.network.trainable_variables)[1:]
    for index in range(3):
        expected = adapted_context(shared, problem.task(index).support)
        np.testing.assert_allclose(adapted[0][index], expected, rtol=0, atol=1e-12)
        for found, weight in zip(adapted[1:], shared, strict=True):
            np.testing.assert_array_equal(found[index], weight)


def test_the_meta_gradient_is_the_difference_of_the_query_loss_by_hand(problem, learner):
    gradient, _ = learner.meta_gradient(*problem.batch)
    assert not np.any(gradient[0])  # the context's initial values are not used
    shared = values(learner.network.trainable_variables)[1:]
    rng = np.random.default_rng(0)
    direction = [
        rng.normal(size=weight.shape) + 3 * g.numpy()
        for weight, g in zip(shared, gradient[1:], strict=True)
    ]

    def loss_at(step):
        moved = [w + step * d for w, d in zip(shared, direction, strict=True)]
        return np.mean([query_loss(moved, problem.task(i)) for i in range(3)])

    slope = sum(np.sum(g * d) for g, d in zip(gradient[1:], direction, strict=True))
    for step in (1e-5, 1e-6):
        assert (loss_at(step) - loss_at(-step)) / (2 * step) == pytest.approx(slope, rel=1e-6)


def test_training_moves_the_shared_weights_only(problem, learner):
    gradient, _ = learner.meta_gradient(*problem.batch)
    before = [weight.numpy() for weight in values(learner.network.trainable_variables)]
    learner.train_on_batch(*problem.batch)
    moved = [
        a - b for a, b in zip(before, values(learner.network.trainable_variables), strict=True)
    ]
    np.testing.assert_array_equal(moved[0], 0)
    assert relative_error(moved[1:], gradient[1:]) < 1e-12


def behind_normalization(activation, *, further=False):
    """A network whose context is followed by batch normalisation, and maybe by a second context."""
    inputs = keras.Input((2,))
    hidden = tfmeta.networks.Context(3, name="context")(inputs)
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation)(hidden))
    if further:
        hidden = tfmeta.networks.Context(3, name="context_2")(hidden)
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


@pytest.mark.parametrize(
    "mode", ["transductive", pytest.param("inductive", marks=pytest.mark.slow)]
)
def test_a_context_that_batch_normalisation_takes_away_is_refused(mode):
    network = behind_normalization(None)
    # What batch normalisation makes of the context, by Keras alone: nothing.
    x, context = np.random.default_rng(0).normal(size=(6, 2)), network.trainable_variables[0]
    one = network(x, training=True)
    context.assign([1.0, -2.0, 3.0])
    np.testing.assert_allclose(one, network(x, training=True), atol=1e-5)
    with pytest.raises(ValueError, match=rf"parameters context/context, .*normalization='{mode}'"):
        tfmeta.CAVIA(network, normalization=mode)


def test_a_context_that_reaches_the_answers_is_taken():
    tfmeta.CAVIA(behind_normalization("tanh"))
    learner = tfmeta.CAVIA(behind_normalization(None), normalization="running")
    learner.compile("sgd", "mse")
    # An export in another mode would answer alike whatever the support set.
    with pytest.raises(ValueError, match=r"context/context, .*normalization='transductive'"):
        learner.servable(normalization="transductive")
    with pytest.warns(UserWarning, match="parameters context/context, on which no answer depends"):
        tfmeta.CAVIA(behind_normalization(None, further=True))


def test_other_learners_refuse_weights_that_change_no_answer_by_their_argument():
    network = behind_normalization(None)
    with pytest.raises(ValueError, match=r"adapted=.*/bias.*, that is dense.*/bias, on which"):
        tfmeta.MAML(network, adapted=f"{network.layers[2].name}/bias")
    tfmeta.MAML(network, adapted=f"{network.layers[2].name}/*")
