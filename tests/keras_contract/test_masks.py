"""Masks of outputs count in losses, gradients and metrics as stock Keras counts them."""

import keras
import numpy as np
import pytest

import tfmeta
from tests.keras_contract import stock
from tfmeta.evaluation import query_metrics

LENGTHS = np.array([[2, 3, 6, 1], [4, 5, 1, 6]])
STEPS, WORDS, CLASSES = 6, 20, 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def sequences(seed):
    """Padded sequences of words and their tags, [T, N, L] each."""
    rng = np.random.default_rng(seed)
    padding = np.arange(STEPS) >= LENGTHS[:, :, None]
    words = rng.integers(1, WORDS, (*LENGTHS.shape, STEPS))
    tags = rng.integers(0, CLASSES, words.shape)
    return np.where(padding, 0, words).astype("int32"), np.where(padding, 0, tags).astype("int32")


def embedded(*makers):
    """A tagger of embedded words; its layers are made here, after the seed is set."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((STEPS,), dtype="int32")
    hidden = keras.layers.Embedding(WORDS, 4, mask_zero=True)(inputs)
    for make in makers:
        hidden = make()(hidden)
    return contrasted(keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden)))


def contrasted(network):
    """The network with weights so large that padding makes a difference."""
    for weight in network.trainable_variables:
        weight.assign(3 * weight)
    return network


def dense():
    return keras.layers.Dense(4, "tanh")


def as_numbers(words):
    return keras.ops.cast(words, "float32")


def masked_numbers():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((STEPS,), dtype="int32")
    wide = keras.layers.Reshape((STEPS, 1))(keras.layers.Lambda(as_numbers)(inputs))
    marked = keras.layers.Masking(0)(keras.layers.Concatenate()([wide, wide]))
    hidden = dense()(marked)
    return contrasted(keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden)))


def attention():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((STEPS,), dtype="int32")
    hidden = keras.layers.Embedding(WORDS, 4, mask_zero=True)(inputs)
    hidden = keras.layers.MultiHeadAttention(2, 2)(hidden, hidden)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))


NETWORKS = {
    "Embedding": lambda: embedded(dense),
    "GRU": lambda: embedded(lambda: keras.layers.GRU(3, return_sequences=True)),
    "Bidirectional": lambda: embedded(
        lambda: keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
    ),
    "TimeDistributed": lambda: embedded(lambda: keras.layers.TimeDistributed(dense())),
    "MultiHeadAttention": attention,
    "Masking": masked_numbers,
}
QUICK = ("Embedding",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NETWORKS]
)
def test_padded_steps_leave_losses_metrics_and_the_inner_step(name):
    network = NETWORKS[name]()
    (sx, sy), (qx, qy) = sequences(1), sequences(2)
    flat_x, flat_y = stock.flat(qx), stock.flat(qy)
    expected_loss = stock.mean_loss(network, LOSS, qx, qy)
    expected = stock.metrics_of(network, ["accuracy"], flat_x, flat_y)
    steps = [stock.step_of(network, LOSS, x, y, 0.5) for x, y in zip(sx, sy, strict=True)]
    plain = keras.ops.mean(LOSS.call(flat_y, network(flat_x)))

    learner = tfmeta.MAML(network, inner_rate=0.5, inner_steps=1, test_inner_steps=0)
    learner.compile("sgd", LOSS, metrics=["accuracy"], run_eagerly=False)
    found = learner.evaluate((sx, sy, qx), qy, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(expected_loss, abs=1e-6)
    assert abs(found["loss"] - float(plain)) > 1e-4, "padding makes no difference here"
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
    adapted = learner.task_weights(sx, sy, inner_steps=1)
    for task, weights in enumerate(steps):
        assert stock.difference([w[task] for w in adapted], weights) < 1e-6


def test_an_example_s_weight_and_the_mask_multiply():
    network = NETWORKS["Embedding"]()
    (sx, sy), (qx, qy) = sequences(1), sequences(2)
    weights = np.float32([[1, 2, 0, 3], [1, 1, 1, 5]])
    learner = tfmeta.MAML(network, inner_rate=0.5, inner_steps=0)
    learner.compile("sgd", LOSS, weighted_metrics=["accuracy"])
    found = learner.evaluate((sx, sy, qx), qy, sample_weight=weights, verbose=0, return_dict=True)
    counts = (qx > 0) * weights[:, :, None]
    each = np.asarray(LOSS.call(qy, network(stock.flat(qx)).numpy().reshape(*qx.shape, CLASSES)))
    by_hand = (each * counts).sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
    assert found["loss"] == pytest.approx(by_hand.mean(), abs=1e-6)
    right = network(stock.flat(qx)).numpy().argmax(-1).reshape(qx.shape) == qy
    assert found["accuracy"] == pytest.approx((right * counts).sum() / counts.sum(), abs=1e-6)


@pytest.mark.parametrize("mode", [pytest.param("inductive", marks=pytest.mark.slow), "running"])
def test_masks_count_in_every_normalisation_mode(mode):
    network = embedded(dense, keras.layers.BatchNormalization)
    (sx, sy), (qx, qy) = sequences(1), sequences(2)
    learner = tfmeta.MAML(network, inner_rate=0.5, inner_steps=0, normalization=mode)
    learner.compile("sgd", LOSS)
    found = learner.evaluate((sx, sy, qx), qy, verbose=0)
    if mode == "running":
        assert found == pytest.approx(stock.mean_loss(network, LOSS, qx, qy), abs=1e-6)
        return
    one_by_one = []
    for support, queries, tags in zip(sx, qx, qy, strict=True):
        outputs = [network(np.concatenate([support, q[None]]), training=True)[-1] for q in queries]
        each = np.asarray(LOSS.call(tags, np.stack(outputs)))
        one_by_one.append((each * (queries > 0)).sum() / (queries > 0).sum())
    assert found == pytest.approx(np.mean(one_by_one), abs=1e-6)


def test_masks_count_after_every_step_of_an_evaluation():
    (sx, sy), (qx, qy) = sequences(1), sequences(2)
    learner = tfmeta.MAML(NETWORKS["Embedding"](), inner_rate=0.5, inner_steps=1)
    learner.compile("sgd", LOSS)
    outputs, _ = learner.adaptation_curve((sx, sy, qx))
    mask = outputs._keras_mask.numpy()
    np.testing.assert_array_equal(mask[:, 1], qx > 0)
    found = query_metrics(LOSS, qy, outputs.numpy(), mask=mask)
    for task in range(len(qx)):
        for step in (0, 1):
            each = np.asarray(LOSS.call(qy[task], outputs[task, step]))
            right = outputs[task, step].numpy().argmax(-1) == qy[task]
            here = qx[task] > 0
            assert found["loss"][task, step] == pytest.approx(each[here].mean(), rel=1e-5)
            assert found["accuracy"][task, step] == pytest.approx(right[here].mean())


def test_learners_that_compare_whole_examples_refuse_an_answer_a_step():
    with pytest.raises(ValueError, match="PrototypicalNetwork compares whole examples"):
        tfmeta.PrototypicalNetwork(NETWORKS["Embedding"]())
