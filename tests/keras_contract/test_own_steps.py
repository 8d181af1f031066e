"""Methods of a learner that Keras' steps call: a step of your own gets the learner's loss."""

import contextlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract.stock import dense_network, dense_tasks, difference

SX, QX = dense_tasks()
SY, QY = (np.sin(x.sum(axis=-1, keepdims=True)) for x in (SX, QX))
BATCH = ((SX, SY, QX), QY)
OF_QUERIES = np.random.default_rng(4).uniform(0.1, 2.0, (3, 5)).astype("float32")


class OwnSteps(tfmeta.MAML):
    """Keras' own train step, in the words of its guide."""

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            answers = self(x, training=True)
            loss = self.compute_loss(x, y, answers, weights)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y, answers, weights)

    def test_step(self, data):
        return super().test_step(data)


def compiled(cls=tfmeta.MAML, network=None, **options):
    learner = cls(network or dense_network(1), inner_rate=0.1, inner_steps=2)
    loss = keras.losses.MeanSquaredError(reduction="sum")
    options = {"loss_weights": 2.0, "weighted_metrics": ["mae", keras.metrics.R2Score()], **options}
    learner.compile(keras.optimizers.SGD(0.01), loss, **options)
    return learner


@pytest.mark.parametrize("weights", [None, OF_QUERIES, OF_QUERIES[:, 0], OF_QUERIES[:, :1]])
def test_a_train_step_of_your_own_takes_the_learners_step(weights):
    ours, own = compiled(run_eagerly=True), compiled(OwnSteps, run_eagerly=True)
    expected = ours.fit(*BATCH, sample_weight=weights, verbose=0).history
    found = own.fit(*BATCH, sample_weight=weights, verbose=0).history
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    assert difference(own.trainable_variables, ours.trainable_variables) < 1e-6


def test_losses_of_the_networks_own_are_not_told_by_answers():
    for options in ({"kernel_regularizer": "l2"}, {"activity_regularizer": "l2"}):
        learner = compiled(network=dense_network(1, **options))
        answers = learner(BATCH[0])
        with pytest.raises(ValueError, match=r"compute_loss with 'sequential.*such losses"):
            learner.compute_loss(BATCH[0], tf.constant(QY), answers)


@pytest.mark.parametrize("name", ["compute_loss", "compute_metrics"])
def test_a_method_that_no_step_would_call_is_refused(name):
    own = type("Own", (tfmeta.MAML,), {name: lambda self, *arguments: None})
    with pytest.raises(ValueError, match=f"don't call {name}. Received: Own"):
        compiled(own)
    compiled(type("Both", (own, OwnSteps), {}))


def test_several_replicas_take_no_train_step_of_your_own():
    class OnTwo(OwnSteps):
        distribute_strategy = types.SimpleNamespace(
            num_replicas_in_sync=2, scope=contextlib.nullcontext
        )

    with pytest.raises(ValueError, match="OnTwo, which defines train_step, on 2 replicas"):
        compiled(OnTwo)
