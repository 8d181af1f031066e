"""What XLA must compile in a vectorised map, where TensorFlow's own ways leave it nothing to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry
from tests.marks import marked
from tfmeta.inner.loop import MAX_UNROLLED_STEPS
from tfmeta.learners.reptile import minibatch_rows

WAYS, LONG = 3, MAX_UNROLLED_STEPS + 2
OPTIONS = {
    "maml": {"test_inner_steps": LONG},  # queries after steps in a loop
    "reptile": {"inner_steps": LONG},  # minibatches in a loop
    "imaml": {"cg_steps": 3},
}


def image_network():
    """A block of a papers' network: XLA takes as long for a second one, and sees nothing new."""
    keras.utils.set_random_seed(0)
    options = {"dtype": "float64"}
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, padding="same", **options),
            keras.layers.BatchNormalization(**options),
            keras.layers.ReLU(**options),
            keras.layers.MaxPooling2D(**options),
            keras.layers.Flatten(**options),
            keras.layers.Dense(WAYS, **options),
        ]
    )


def computed(name, jit_compile):
    """Meta-gradient and predictions, tasks vectorised."""
    network = image_network()
    options = {"inner_rate": 0.05, "parallel": "vectorized", **OPTIONS[name]}
    learner = registry.LEARNERS[name](network, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile("sgd", loss, jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    support_x, query_x = rng.uniform(size=(2, 2, 3 * WAYS, 4, 4, 1))
    labels = np.tile(np.arange(WAYS, dtype="int32"), (2, 3))
    gradient, _ = learner.meta_gradient((support_x, labels, query_x), labels)
    predictions = learner.predict_on_batch((support_x, labels, query_x))
    return [np.asarray(value) for value in gradient], predictions


# Each compiles for as long as dozens of other tests run; Reptile's has a loop.
@pytest.mark.parametrize("name", marked(["reptile", "maml", "imaml"], [], ["reptile"]))
def test_xla_computes_what_the_executor_does(name):
    gradient, predictions = computed(name, True)
    expected, expected_predictions = computed(name, False)
    for received, wanted in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(predictions, expected_predictions, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_minibatches_of_an_epoch_are_a_permutation(jit_compile):
    draw = tf.function(
        lambda index, key: minibatch_rows(index, 3, 12, key), jit_compile=jit_compile
    )

    def epoch_of(epoch, task):
        parts = (tf.constant(4 * epoch + part) for part in range(4))
        return np.concatenate([draw(part, tf.constant([7, task])) for part in parts])

    epochs = [epoch_of(epoch, task) for epoch in range(2) for task in range(2)]
    for rows in epochs:
        assert sorted(rows) == list(range(12))
    # Another one in each epoch and for each task.
    assert len({tuple(rows) for rows in epochs}) == 4
