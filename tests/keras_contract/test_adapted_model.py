"""An adapted model is a Keras model: kept, loaded elsewhere, exported, evaluated, trained on."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.marks import marked

S, Q = 6, 40  # more queries than Keras puts into a batch
RNG = np.random.default_rng(0)
SY, QY = RNG.integers(0, 2, S), RNG.integers(0, 2, Q)
SX, QX = RNG.normal(size=(S, 3)).astype("float32"), RNG.normal(size=(Q, 3)).astype("float32")
QX *= np.linspace(0.1, 5.0, Q, dtype="float32")[
    :, np.newaxis
]  # so that a cut set answers otherwise
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def network_of_two_inputs(kind):
    keras.utils.set_random_seed(3)
    one, other = keras.Input((1,), name="one"), keras.Input((2,), name="other")
    joined = keras.layers.Concatenate()([one, other])
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4)(joined))
    inputs = {"one": one, "other": other} if kind is dict else [one, other]
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


def parts(x, kind):
    if kind is None:
        return x
    return {"one": x[:, :1], "other": x[:, 1:]} if kind is dict else [x[:, :1], x[:, 1:]]


def batch_of_one(structure):
    return tf.nest.map_structure(lambda array: array[np.newaxis], structure)


KINDS = {
    "dict of inputs, inductive": lambda: (
        tfmeta.MAML(network_of_two_inputs(dict), 0.1, 2, normalization="inductive"),
        dict,
    ),
    "samples": lambda: (tfmeta.BMAML(network(), 0.1, particles=2, normalization="running"), None),
}
OTHERS = {
    "list of inputs, transductive": lambda: (
        tfmeta.MAML(network_of_two_inputs(list), 0.1, 2),
        list,
    ),
    "comparison": lambda: (tfmeta.MatchingNetwork(network()), None),
    "PLATIPUS": lambda: (tfmeta.PLATIPUS(network(), 0.1, samples=2), None),
    "MAML++": lambda: (
        tfmeta.MAMLPlusPlus(network(), 0.1, 2, normalization="running", per_step_statistics=True),
        None,
    ),
    "MT-net": lambda: (tfmeta.MTNet(network(), 0.1, 2), None),
    "FineTuning": lambda: (tfmeta.FineTuning(network(), classes=5), None),
}
SLOW = ("list of inputs, transductive", "comparison", "MAML++")
# Learners that draw while they adapt.
DRAWING = ("PLATIPUS", "MT-net")


@pytest.mark.parametrize("name", marked([*KINDS, *OTHERS], KINDS, SLOW))
def test_an_adapted_model_is_kept_in_every_way_of_keras_with_equal_answers(name, tmp_path):
    learner, kind = (KINDS | OTHERS)[name]()
    learner.compile("adam", LOSS, metrics=["accuracy"])
    support, queries = parts(SX, kind), parts(QX, kind)
    adapted = learner.adapt(support, SY)
    expected = adapted.predict(queries, verbose=0)
    of_learner = batch_of_one(support), SY[np.newaxis], batch_of_one(queries)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(expected, learner.predict(of_learner, verbose=0)[0], **close)
    np.testing.assert_allclose(adapted(queries), expected, **close)

    adapted.save(tmp_path / "adapted.keras")
    loaded = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(loaded.predict(queries, verbose=0), expected)

    clone = keras.models.clone_model(adapted)
    adapted.save_weights(tmp_path / "adapted.weights.h5")
    clone.load_weights(tmp_path / "adapted.weights.h5")
    np.testing.assert_array_equal(clone.predict(queries, verbose=0), expected)
    for one, other in zip(clone.get_weights(), adapted.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    adapted.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(queries), expected, **close)

    lines = []
    adapted.summary(print_fn=lines.append)
    assert "Total params" in "\n".join(lines)

    losses = adapted.evaluate(queries, QY, verbose=0)
    by_hand = LOSS(QY, expected), np.mean(np.argmax(expected, axis=-1) == QY)
    np.testing.assert_allclose(losses, by_hand, rtol=1e-5)
    of_task = learner.evaluate(of_learner, QY[np.newaxis], verbose=0)
    if name in DRAWING:
        # An evaluation has draws of its own, and an adapted model those of an answer.
        assert abs(of_task[0] - losses[0]) > 1e-4
    else:
        np.testing.assert_allclose(losses, of_task, rtol=1e-5)


def test_a_transductive_set_is_never_cut():
    learner = tfmeta.MAML(network(), 0.1)
    learner.compile("adam", LOSS)
    adapted = learner.adapt(SX, SY)
    expected = adapted.predict(QX, verbose=0)
    loss = float(LOSS(QY, expected))
    pairs = tf.data.Dataset.from_tensor_slices((QX, QY)).batch(7)
    np.testing.assert_array_equal(adapted.predict(pairs, verbose=0), expected)
    np.testing.assert_allclose(adapted.evaluate(pairs, verbose=0), loss, rtol=1e-5)
    np.testing.assert_allclose(adapted.evaluate(QX, QY, verbose=0), loss, rtol=1e-5)
    in_pieces = (QX[first : first + 9] for first in range(0, Q, 9))
    np.testing.assert_array_equal(adapted.predict(in_pieces, verbose=0), expected)
    for call in (adapted.predict, lambda x, **options: adapted.evaluate(x, QY, **options)):
        with pytest.raises(ValueError, match=r"must not be cut.*batch_size=4 for 40"):
            call(QX, batch_size=4)
    with pytest.raises(ValueError, match="endless"):
        adapted.predict(pairs.repeat())
    with pytest.raises(ValueError, match=r"\[queries, 3\].*example\[np.newaxis\]"):
        adapted.predict(QX[0], verbose=0)


def test_tasks_of_one_shape_are_adapted_to_and_answered_by_one_trace(monkeypatch):
    learner = tfmeta.MAML(network(), 0.1)
    learner.compile("adam", LOSS)
    traces = {"adapt": 0, "answer": 0}

    def counted(name, method):
        original = getattr(learner, method)

        def count(*arguments, **options):
            traces[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(learner, method, count)

    counted("adapt", "adapt_weights")
    counted("answer", "query_outputs")
    for task in range(10):
        learner.adapt(SX + task, SY).predict(QX, verbose=0)
    assert traces == {"adapt": 1, "answer": 1}


def test_fit_goes_on_from_the_adapted_weights_and_leaves_the_learner_alone():
    learner = tfmeta.MAML(network(), 0.1)
    learner.compile("adam", LOSS)
    before = [np.array(weight) for weight in learner.get_weights()]
    adapted, other = learner.adapt(SX, SY), learner.adapt(SX, SY)
    losses = adapted.fit(QX, QY, epochs=5, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[0], other.evaluate(QX, QY, verbose=0), rtol=1e-5)
    assert losses[-1] < losses[0]
    for now, then in zip(learner.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def regularised():
    keras.utils.set_random_seed(3)
    first = keras.layers.Dense(
        4, "tanh", kernel_regularizer="l2", activity_regularizer=keras.regularizers.L1(0.1)
    )
    bound = keras.constraints.MaxNorm(0.3)
    last = keras.layers.Dense(2, kernel_constraint=bound, name="head")
    return keras.Sequential([keras.Input((3,)), first, last])


@pytest.mark.parametrize("adapted", [None, ["head/*"]])
def test_fit_takes_the_next_inner_step_and_evaluate_gives_the_learners_loss(adapted):
    learner = tfmeta.MAML(regularised(), 0.5, 2, adapted=adapted)
    weighted = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    learner.compile("adam", LOSS, weighted_metrics=weighted, loss_weights=2.0, run_eagerly=True)
    model = learner.adapt(SX, SY, inner_steps=1)
    steps = learner.task_weights(SX[None], SY[None])
    model.fit(SX, SY, verbose=0)
    for variable, weight in zip(model.adapted_weights, steps, strict=True):
        np.testing.assert_allclose(variable, weight[0], rtol=1e-4, atol=1e-6)
    # Regularisation, activity losses, `loss_weights` and metrics are those of the learner.
    expected = learner.evaluate((SX[None], SY[None], QX[None]), QY[None], verbose=0)
    np.testing.assert_allclose(model.evaluate(QX, QY, verbose=0), expected, rtol=1e-4)


LOADING = """
import sys
import numpy as np, keras, tfmeta
model = keras.saving.load_model(sys.argv[1] + "/adapted.keras")
np.save(sys.argv[1] + "/answers.npy", model.predict(np.load(sys.argv[1] + "/x.npy"), verbose=0))
"""


def test_a_process_without_the_learner_loads_an_adapted_model(tmp_path):
    learner = tfmeta.MAML(network(), 0.1, normalization="inductive")
    learner.compile("adam", LOSS)
    adapted = learner.adapt(SX, SY)
    adapted.save(tmp_path / "adapted.keras")
    np.save(tmp_path / "x.npy", QX)
    subprocess.run([sys.executable, "-c", LOADING, tmp_path], check=True, capture_output=True)
    answers = np.load(tmp_path / "answers.npy")
    np.testing.assert_array_equal(answers, adapted.predict(QX, verbose=0))


def test_a_network_with_a_vocabulary_is_exported_and_loaded(tmp_path):
    words = keras.Input((1,), dtype="string")
    lookup = keras.layers.StringLookup(output_mode="multi_hot")
    lookup.adapt(tf.constant(["x", "y", "z"]))
    learner = tfmeta.MAML(keras.Model(words, keras.layers.Dense(2)(lookup(words))), 0.1)
    learner.compile("adam", LOSS)
    adapted = learner.adapt(tf.constant([["x"], ["y"]]), [0, 1])
    queries = tf.constant([["y"], ["z"], ["unknown"]])
    expected = adapted.predict(queries, verbose=0)
    adapted.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(queries), expected, rtol=1e-5)
    adapted.save(tmp_path / "adapted.keras")
    loaded = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(loaded.predict(queries, verbose=0), expected)


def test_it_says_how_it_is_compiled_before_it_is_measured(tmp_path):
    learner = tfmeta.MAML(network(), 0.1)
    learner.compile("adam", LOSS, loss_weights=3.0, metrics=["accuracy"])
    first, second, third, fourth = (learner.adapt(SX, SY) for _ in range(4))
    assert first.compiled
    assert second.loss is LOSS
    np.testing.assert_allclose(third.optimizer.learning_rate, 0.1, rtol=1e-6)
    assert fourth.get_compile_config()["loss_weights"] == 3.0
    learner.adapt(SX, SY).save(tmp_path / "adapted.keras")
    adapted = learner.adapt(SX, SY)
    answers = adapted.predict(QX, verbose=0)
    expected = 3 * LOSS(QY, answers), np.mean(np.argmax(answers, axis=-1) == QY)
    clone = keras.models.clone_model(adapted)
    clone.set_weights(adapted.get_weights())
    loaded = keras.saving.load_model(tmp_path / "adapted.keras")
    assert loaded.compiled
    for model in (adapted, loaded):
        np.testing.assert_allclose(model.evaluate(QX, QY, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(clone.evaluate(QX, QY, verbose=0), expected, rtol=1e-5)
    adapted.compile("adam", "mse")
    assert adapted.loss == "mse"


def test_it_takes_nested_lists_as_adapt_does():
    learner = tfmeta.MAML(network(), 0.1)
    learner.compile("adam", LOSS)
    adapted, expected = learner.adapt(SX.tolist(), SY.tolist()), learner.adapt(SX, SY)
    answers = expected.predict(QX, verbose=0)
    np.testing.assert_array_equal(adapted.predict(QX.tolist(), verbose=0), answers)
    loss = adapted.evaluate(QX.tolist(), QY.tolist(), verbose=0)
    np.testing.assert_allclose(loss, LOSS(QY, answers), rtol=1e-5)
    adapted.fit(QX.tolist(), QY.tolist(), verbose=0)
    expected.fit(QX, QY, verbose=0)
    for one, other in zip(adapted.adapted_weights, expected.adapted_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"Received: 6 arrays.*np\.stack"):
        learner.adapt(list(SX), SY)
    with pytest.raises(ValueError, match="at least one batch"):
        adapted.predict(QX[:0], verbose=0)
