"""Any Keras model: subclassed, shared layers, dict inputs, LSTM, embedding, mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, values

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Subclassed(keras.Model):
    """Normalises, and its `call` does not know `training`."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(6, activation="tanh")
        self.norm = keras.layers.BatchNormalization()
        self.head = keras.layers.Dense(3)

    def call(self, x):
        return self.head(self.norm(self.hidden(x)))


def subclassed():
    network = Subclassed()
    network(np.zeros((2, 4), "float32"))
    return network


def functional_twin():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6, activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.BatchNormalization()(x)))


def shared():
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(4, activation="tanh")
    return keras.Model(inputs, keras.layers.Dense(3)(layer(layer(inputs))))


def recurrent():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(7, 3),
            keras.layers.LSTM(4),
            keras.layers.Dense(3),
        ]
    )


def two_inputs():
    left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    return keras.Model({"left": left, "right": right}, keras.layers.Dense(3)(joined))


def tasks(network, seed=0):
    rng = np.random.default_rng(seed)

    def inputs(count):
        if getattr(network, "inputs", None) and network.inputs[0].dtype == "int32":
            return rng.integers(0, 7, size=(2, count, 4)).astype("int32")
        x = rng.normal(size=(2, count, 4)).astype("float32")
        if isinstance(getattr(network, "_inputs_struct", None), dict):
            return {"left": x[..., :2], "right": x[..., 2:]}
        return x

    labels = [rng.integers(0, 3, size=(2, count)).astype("int32") for count in (6, 5)]
    return (inputs(6), labels[0], inputs(5)), labels[1]


@pytest.mark.parametrize(
    "build", [subclassed, shared, pytest.param(recurrent, marks=pytest.mark.slow), two_inputs]
)
def test_both_ways_of_mapping_tasks_agree_and_predict_answers(build):
    keras.utils.set_random_seed(1)
    network = build()
    x, y = tasks(network)
    gradients = {}
    for parallel in ("vectorized", "sequential"):
        learner = tfmeta.MAML(network, inner_rate=0.3, inner_steps=2, parallel=parallel)
        gradients[parallel], outputs = compiled(learner, CROSS_ENTROPY).meta_gradient(x, y)
        assert outputs.shape == (2, 5, 3)
    assert relative_error(gradients["vectorized"], gradients["sequential"]) < 1e-5
    assert learner.predict(x, verbose=0).shape == (2, 5, 3)


@pytest.mark.usefixtures("without_traces")
def test_a_model_without_a_training_argument_still_normalises_by_its_batch():
    keras.utils.set_random_seed(1)
    network, twin = subclassed(), functional_twin()
    for to, value in zip(twin.trainable_variables, network.trainable_variables, strict=True):
        to.assign(value)
    x, y = tasks(network)
    gradients = [
        compiled(tfmeta.MAML(model, inner_rate=0.3), CROSS_ENTROPY).meta_gradient(x, y)[0]
        for model in (network, twin)
    ]
    assert relative_error(*gradients) < 1e-5


def test_bfloat16_policy_computes_in_bfloat16_and_learns_in_float32():
    keras.utils.set_random_seed(1)
    network = tfmeta.networks.mlp((6,), outputs=3, input_dim=4, dtype="mixed_bfloat16")
    learner = compiled(tfmeta.MAML(network, inner_rate=0.3, inner_steps=2), CROSS_ENTROPY)
    x, y = tasks(network)
    gradients, outputs = learner.meta_gradient(x, y)
    assert outputs.dtype == tf.float32
    assert {g.dtype for g in gradients} == {tf.float32}
    exact = tfmeta.networks.mlp((6,), outputs=3, input_dim=4)
    for to, value in zip(exact.trainable_variables, network.trainable_variables, strict=True):
        to.assign(value)
    reference = compiled(tfmeta.MAML(exact, inner_rate=0.3, inner_steps=2), CROSS_ENTROPY)
    error = relative_error(gradients, reference.meta_gradient(x, y)[0])
    assert 1e-5 < error < 0.1  # bfloat16 has 8 bits: other than float32, and near it


def test_float16_is_refused_with_the_way_out():
    network = tfmeta.networks.mlp((6,), outputs=3, input_dim=4, dtype="mixed_float16")
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        tfmeta.MAML(network)


def test_regularization_of_the_network_counts_in_both_losses():
    def gradient(strength):
        keras.utils.set_random_seed(1)
        regularizer = keras.regularizers.L2(strength)
        network = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer=regularizer)]
        )
        learner = compiled(tfmeta.MAML(network, inner_steps=0), CROSS_ENTROPY)
        kernel = values(network.trainable_variables)[0].numpy()
        return learner.meta_gradient(*tasks(network))[0][0].numpy(), kernel

    (plain, kernel), (decayed, _) = gradient(0.0), gradient(0.5)
    assert np.allclose(decayed - plain, 2 * 0.5 * kernel, atol=1e-5)


def test_dropout_is_off_unless_asked_and_then_answers_alike_and_differs_by_seed():
    def network():
        keras.utils.set_random_seed(1)
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(16, "tanh"),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(3),
            ]
        )

    (sx, sy, _), _ = tasks(network())
    sx, sy = np.repeat(sx[:1], 3, axis=0), np.repeat(sy[:1], 3, axis=0)  # one task three times

    def adapted(**options):
        learner = compiled(tfmeta.MAML(network(), inner_rate=0.5, **options), CROSS_ENTROPY)
        return learner.task_weights(sx, sy)[0].numpy()

    off, on, again, other = (
        adapted(),
        adapted(dropout=True),
        adapted(dropout=True),
        adapted(dropout=True, seed=5),
    )
    assert np.array_equal(off[0], off[1])
    # Answers have the key of task 0 each, whatever their place in a batch.
    assert np.array_equal(on[0], on[1])
    assert not np.allclose(on[0], off[0])
    assert np.array_equal(on, again)
    assert not np.allclose(on[0], other[0])


def random_network(*layers):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, "tanh"), *layers, keras.layers.Dense(3)]
    )


def test_queries_are_answered_without_dropout():
    network = random_network(keras.layers.Dropout(0.5))
    learner = compiled(tfmeta.MAML(network, inner_steps=0, dropout=True), CROSS_ENTROPY)
    x, _ = tasks(network)
    expected = network(x[2].reshape(-1, 4)).numpy().reshape(2, 5, 3)
    np.testing.assert_allclose(learner.predict(x, verbose=0), expected, atol=1e-5)


def test_dropout_works_beside_moving_averages_which_support_sets_leave_alone():
    def adapted(norm, **options):
        network = random_network(keras.layers.Dropout(0.5), norm)
        options = {"inner_rate": 0.5, "normalization": "running", **options}
        learner = compiled(tfmeta.MAML(network, **options), CROSS_ENTROPY)
        x, _ = tasks(network)
        return learner.task_weights(*x[:2])[0].numpy()

    def norm():
        return keras.layers.BatchNormalization()

    assert relative_error(adapted(norm(), dropout=True), adapted(norm())) > 1e-2
    # Fresh averages are 0 and 1: the layer is nearly the identity.
    nothing = keras.layers.Activation("linear")
    with_averages = adapted(norm(), dropout=True)
    assert relative_error(with_averages, adapted(nothing, dropout=True)) < 1e-2


def test_random_layers_for_images_leave_queries_as_they_are():
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.RandomTranslation(0.4, 0.4),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    learner = compiled(tfmeta.MAML(network, inner_steps=0), CROSS_ENTROPY)
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    answers = learner.predict((images, np.zeros((2, 3), "int32"), images), verbose=0)
    expected = network(images.reshape(6, 4, 4, 1), training=False).numpy().reshape(2, 3, 3)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
