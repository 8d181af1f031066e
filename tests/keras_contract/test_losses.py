"""Losses in every form that Keras takes, against stock Keras task by task."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract import stock
from tfmeta.inner import SetLoss, kind_of

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 3, (2, 4))
HOT = np.eye(3, dtype="float32")[LABELS]
BITS = RNG.integers(0, 2, (2, 4, 3)).astype("float32")
NUMBERS = RNG.normal(size=(2, 4, 3)).astype("float32")
OUTPUTS = RNG.normal(size=(2, 4, 3)).astype("float32")
PROBABILITIES = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(-1, keepdims=True)
WRAPPER = stock.WRAPPER


class OwnCall(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 1.5, axis=-1)


class OwnEverything(keras.losses.Loss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return 2.0 * keras.ops.mean(keras.ops.square(y_true - y_pred))


def own_function(y_true, y_pred):
    return keras.ops.sum(keras.ops.abs(y_true - y_pred), axis=-1)


K = keras.losses
FORMS = {
    "class": (K.SparseCategoricalCrossentropy(from_logits=True), LABELS, OUTPUTS),
    "type": (K.MeanAbsoluteError, NUMBERS, OUTPUTS),
    "name": ("sparse_categorical_crossentropy", LABELS, PROBABILITIES),
    "class name": ("CategoricalCrossentropy", HOT, PROBABILITIES),
    "function": (K.categorical_crossentropy, HOT, PROBABILITIES),
    "partial": (
        functools.partial(K.sparse_categorical_crossentropy, from_logits=True),
        LABELS,
        OUTPUTS,
    ),
    "wrapper": (WRAPPER(K.binary_crossentropy, from_logits=True), BITS, OUTPUTS),
    "smoothing": (
        K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        HOT,
        OUTPUTS,
    ),
    "sum": (K.Huber(reduction="sum"), NUMBERS, OUTPUTS),
    "mean": (K.LogCosh(reduction="mean"), NUMBERS, OUTPUTS),
    "weighted mean": (K.MeanSquaredError(reduction="mean_with_sample_weight"), NUMBERS, OUTPUTS),
    "focal": (K.CategoricalFocalCrossentropy(), HOT, PROBABILITIES),
    "binary focal": (K.BinaryFocalCrossentropy(from_logits=True), BITS, OUTPUTS),
    "integers as numbers": (OwnCall(), LABELS[..., None], OUTPUTS[..., :1]),
    "own call": (OwnCall(), NUMBERS, OUTPUTS),
    "own __call__": (OwnEverything(), NUMBERS, OUTPUTS),
    "own function": (own_function, NUMBERS, OUTPUTS),
    "ignored 255": (
        K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
        np.where(LABELS == 1, 255, LABELS),
        OUTPUTS,
    ),
    "ignored 0": (
        K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        LABELS[..., None],
        OUTPUTS,
    ),
    "ignored -1": (
        functools.partial(K.sparse_categorical_crossentropy, ignore_class=-1),
        np.where(LABELS == 2, -1, LABELS),
        PROBABILITIES,
    ),
    "one number": (K.Dice(), BITS, PROBABILITIES),
    "of each class": (K.Tversky(axis=(0,)), BITS, PROBABILITIES),
    "generalized": (K.CategoricalGeneralizedCrossEntropy(), LABELS, PROBABILITIES),
    "circle": (K.Circle(), LABELS, OUTPUTS / np.linalg.norm(OUTPUTS, axis=-1, keepdims=True)),
    "cosine": ("cosine_similarity", NUMBERS, OUTPUTS),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_set_s_loss_is_keras_own(name):
    loss, targets, outputs = FORMS[name]
    network = stock.dense_network(3)
    network.compile("sgd", loss)
    own = SetLoss(loss)
    for y, p in zip(targets, outputs, strict=True):
        expected = network._compile_loss(tf.constant(y), tf.constant(p))
        np.testing.assert_allclose(own(tf.constant(y), tf.constant(p)), expected, rtol=2e-6)


@pytest.mark.parametrize(
    ("loss", "target", "link", "from_logits"),
    [
        ("binary_crossentropy", "binary", "sigmoid", False),
        ("bce", "binary", "sigmoid", False),
        ("CategoricalCrossentropy", "one_hot", "softmax", False),
        (K.sparse_categorical_crossentropy, "sparse", "softmax", False),
        (K.BinaryFocalCrossentropy(from_logits=True), "binary", "sigmoid", True),
        ("categorical_focal_crossentropy", "one_hot", "softmax", False),
        (WRAPPER(K.categorical_crossentropy, from_logits=True), "one_hot", "softmax", True),
        (
            functools.partial(K.sparse_categorical_crossentropy, from_logits=True),
            "sparse",
            "softmax",
            True,
        ),
        (K.CategoricalGeneralizedCrossEntropy(), "sparse", "softmax", False),
        (K.Huber(), "regression", "identity", True),
        (own_function, "regression", "identity", True),
        (OwnCall(), "regression", "identity", True),
    ],
)
def test_the_kind_of_a_loss_is_told_in_each_form(loss, target, link, from_logits):
    kind = kind_of(loss)
    assert (kind.target, kind.link, kind.from_logits) == (target, link, from_logits)
    learner = tfmeta.MAML(stock.dense_network(3, "sigmoid"))
    learner.compile("sgd", loss)
    servable = learner.servable()
    expected = "regression" if link == "identity" else "classification"
    assert (servable.kind, servable.target, servable.link) == (expected, target, link)
    assert servable.from_logits == from_logits


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (K.MeanSquaredError(reduction=None), "reduction=None"),
        ("crossentropy", "which cross-entropy"),
        (K.CTC(), r"'ctc'. Leave them out: tfmeta.MAML\(first_order=True\)"),
        (K.CategoricalCrossentropy(axis=1, from_logits=True), "axis=1"),
    ],
)
def test_what_no_learner_can_follow_is_refused_by_name(loss, words):
    network = keras.Sequential([keras.Input((3,)), keras.layers.Reshape((1, 3))])
    network.add(keras.layers.Dense(2))
    with pytest.raises(ValueError, match=words):
        tfmeta.MAML(network).compile("sgd", loss)


def test_labels_in_a_column_are_not_compared_with_every_example():
    # Keras' function broadcasts [N, 1] against [N, classes] to [N, N].
    own = SetLoss(K.CategoricalGeneralizedCrossEntropy())
    column = own(tf.constant(LABELS[0][:, None]), tf.constant(PROBABILITIES[0]))
    np.testing.assert_allclose(column, own(tf.constant(LABELS[0]), tf.constant(PROBABILITIES[0])))


@pytest.mark.parametrize("loss", ["mse", K.BinaryCrossentropy(), K.Huber(), K.Dice()])
def test_targets_that_would_be_broadcast_over_examples_are_refused(loss):
    targets, outputs = tf.constant(BITS[0, :3, 0]), tf.constant(PROBABILITIES[0, :3])
    with pytest.raises(ValueError, match=r"axes of the network's outputs, \(3, 3\).*\(3,\), which"):
        SetLoss(loss)(targets, outputs)


def test_void_pixels_are_no_labels_out_of_range():
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 1)])
    x = RNG.normal(size=(2, 3, 2, 2, 1)).astype("float32")
    y = RNG.integers(0, 2, (2, 3, 2, 2)).astype("int32")
    y[0, :, 0], y[1, :2, 1] = 255, 255
    loss = K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    steps = [stock.step_of(network, loss, *task, 0.1) for task in zip(x, y, strict=True)]
    learner = tfmeta.MAML(network, inner_rate=0.1, inner_steps=1, test_inner_steps=0)
    learner.compile("sgd", loss)
    expected = stock.mean_loss(network, loss, x, y)
    assert learner.evaluate((x, y, x), y, verbose=0) == pytest.approx(expected, abs=1e-6)
    adapted = learner.task_weights(x, y, inner_steps=1)
    for task, weights in enumerate(steps):
        assert stock.difference([w[task] for w in adapted], weights) < 1e-6
    servable = learner.servable()
    assert (servable.target_shape, servable.ignore_class) == ((2, 2), 255)
    with pytest.raises(Exception, match="from 0 to 1, for 2 outputs, or the ignored class 255"):
        learner.evaluate((x, np.where(y == 255, 7, y), x), y, verbose=0)


class Adding(keras.layers.Layer):
    """Adds a loss of two numbers, of which Keras takes the sum."""

    def call(self, x):
        self.add_loss(0.01 * keras.ops.mean(keras.ops.square(x), axis=0))
        return x


def test_regularisers_activity_losses_and_added_losses_are_summed_as_keras_sums():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1"),
        Adding(),
        keras.layers.Dense(1, bias_regularizer=keras.regularizers.L1L2(0.1, 0.1)),
    ]
    network = keras.Sequential([keras.Input((3,)), *layers])
    sx, qx = stock.dense_tasks()
    sy, qy = sx[..., :1], qx[..., :1]
    steps = [stock.step_of(network, "mse", *task, 0.1) for task in zip(sx, sy, strict=True)]
    expected = stock.mean_loss(network, "mse", qx, qy)
    learner = tfmeta.MAML(network, inner_rate=0.1, inner_steps=1, test_inner_steps=0)
    learner.compile("sgd", "mse")
    assert learner.evaluate((sx, sy, qx), qy, verbose=0) == pytest.approx(expected, abs=1e-6)
    adapted = learner.task_weights(sx, sy, inner_steps=1)
    for task, weights in enumerate(steps):
        assert stock.difference([w[task] for w in adapted], weights) < 1e-6


def test_logits_under_a_loss_of_probabilities_are_warned_of():
    with pytest.warns(UserWarning, match="expects probabilities .* its outputs are logits"):
        tfmeta.MAML(tfmeta.networks.conv4(ways=5, filters=2)).compile(
            "sgd", "sparse_categorical_crossentropy"
        )


@pytest.mark.parametrize(
    ("network", "loss"),
    [
        (lambda: stock.dense_network(3, "softmax"), "categorical_crossentropy"),
        (lambda: stock.dense_network(3), K.CategoricalCrossentropy(from_logits=True)),
        (lambda: stock.dense_network(3), "mse"),
    ],
)
@pytest.mark.filterwarnings("error:The loss")
def test_no_warning_where_outputs_are_what_the_loss_expects(network, loss):
    tfmeta.MAML(network()).compile("sgd", loss)
