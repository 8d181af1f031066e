"""A set's loss: weighted means in the dtype of the outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import SetLoss

TARGETS = tf.constant([[1.0], [2.0], [4.0]])
OUTPUTS = tf.constant([[1.0], [4.0], [1.0]])


def test_weights_divide_by_their_sum():
    loss = SetLoss("mse")
    assert float(loss(TARGETS, OUTPUTS)) == pytest.approx((0 + 4 + 9) / 3)
    weighted = loss(TARGETS, OUTPUTS, tf.constant([1.0, 3.0, 0.0]))
    assert float(weighted) == pytest.approx((0 * 1 + 4 * 3) / 4)


def test_a_loss_that_asks_for_a_sum_gets_it():
    assert float(SetLoss(keras.losses.MeanSquaredError(reduction="sum"))(TARGETS, OUTPUTS)) == 13


def test_float64_stays_float64():
    targets, outputs = tf.constant([[0.1]], tf.float64), tf.constant([[0.3]], tf.float64)
    value = SetLoss("mse")(targets, outputs)
    assert value.dtype == tf.float64
    np.testing.assert_allclose(value, 0.2**2, rtol=1e-14)


def test_a_function_is_a_loss_and_anything_else_is_refused():
    loss = SetLoss(lambda y, p: tf.reduce_sum(tf.abs(y - p), axis=-1))
    assert float(loss(TARGETS, OUTPUTS)) == pytest.approx(5 / 3)
    with pytest.raises(ValueError, match="one loss"):
        SetLoss(3)


def test_a_sum_is_over_all_axes_as_keras_sums():
    loss = keras.losses.MeanSquaredError(reduction="sum")
    targets, outputs = tf.zeros([2, 3, 4]), tf.ones([2, 3, 4])
    assert float(SetLoss(loss)(targets, outputs)) == float(loss(targets, outputs)) == 6


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", lambda y, p: abs(y - p)])
def test_targets_without_the_outputs_last_axis_of_1_are_not_broadcast(loss):
    targets, outputs = tf.constant([1.0, 0.0, 1.0]), tf.constant([[0.9], [0.1], [0.9]])
    weights = tf.constant([1.0, 1.0, 0.0])
    flat, column = (SetLoss(loss)(t, outputs, weights) for t in (targets, targets[:, None]))
    assert float(flat) == pytest.approx(float(column)) != 0


def test_one_hot_labels_under_a_sparse_loss_are_named():
    loss = SetLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(
        ValueError, match=r"Received: targets \(2, 3\)\. Sparse losses take integer"
    ):
        loss(tf.eye(2, 3), tf.ones([2, 3]))
