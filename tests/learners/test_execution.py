"""The execution that `parallel="auto"` chooses by size, and that none changes an answer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.learners.keras_model import execution

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def learner_of(network, **options):
    learner = tfmeta.MAML(network, inner_rate=0.1, **options)
    learner.compile("adam", LOSS)
    return learner


def specs(image_shape, support, queries, tasks=2):
    def spec(count, *shape):
        return tf.TensorSpec([tasks, count, *shape], tf.float32)

    images = (spec(support, *image_shape), spec(support), spec(queries, *image_shape))
    return images, spec(queries)


@pytest.fixture(scope="module")
def conv4():
    return learner_of(tfmeta.networks.conv4(ways=5))  # its largest output: 14 x 14 x 64


@pytest.mark.parametrize(
    ("support", "queries", "expected"),
    [(5, 5, "auto"), (10, 10, "auto"), (5, 75, "sequential"), (20, 5, "sequential")],
)
def test_large_tasks_are_computed_each_by_itself(conv4, support, queries, expected):
    assert conv4.execution_of(specs((28, 28, 1), support, queries)) == expected


def test_the_earlier_name_of_the_method_warns(conv4):
    with pytest.warns(DeprecationWarning, match=r"`learner\.execution_of` now"):
        assert conv4.way_of(specs((28, 28, 1), 5, 75)) == "sequential"


def test_tasks_of_dense_layers_are_tiny_and_those_of_images_not(conv4):
    mlp = tfmeta.MAML(tfmeta.networks.mlp(), inner_rate=0.1)  # its largest output: 40
    points = tf.TensorSpec([5, 50, 1])
    assert mlp.has_tiny_tasks(((points, points, tf.TensorSpec([5, 0, 1])), None))
    assert not mlp.has_tiny_tasks(((tf.TensorSpec([5, None, 1]),) * 3, None))
    assert not conv4.has_tiny_tasks(specs((28, 28, 1), 5, 5))


def test_a_parallel_of_the_users_own_or_xla_holds_whatever_the_size():
    network = tfmeta.networks.conv4(ways=5)
    large = specs((28, 28, 1), 5, 75)
    assert learner_of(network, parallel="vectorized").execution_of(large) == "vectorized"
    compiled = learner_of(network)
    compiled.compile("adam", LOSS, jit_compile=True)
    assert compiled.execution_of(large) == "auto"


def test_a_gpu_is_left_with_all_tasks_together(conv4, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["one"])
    assert conv4.execution_of(specs((28, 28, 1), 5, 75)) == "auto"


def test_what_is_not_known_counts_as_small(conv4):
    assert conv4.execution_of(specs((28, 28, 1), None, None)) == "auto"
    images = np.zeros((2, 75, 28, 28, 1), "float32")  # arrays count as tensors do
    assert conv4.execution_of(((images, np.zeros((2, 75)), images), None)) == "sequential"

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(5)

        def call(self, inputs):
            return self.dense(inputs)

    own = Own()
    own(tf.zeros([1, 3]))
    assert not execution.are_large(own, 10**9)


def test_outputs_of_layers_within_models_count():
    inner = keras.Sequential([keras.Input([4]), keras.layers.Dense(1000), keras.layers.Dense(2)])
    outer = keras.Sequential([keras.Input([4]), inner])
    assert execution.are_large(outer, 132)
    assert not execution.are_large(outer, 131)


def test_the_execution_changes_no_more_than_rounding(monkeypatch):
    keras.utils.set_random_seed(0)
    options = {"dtype": "float64"}
    network = keras.Sequential(
        [
            keras.Input((12, 12, 1), **options),
            keras.layers.Conv2D(4, 3, strides=4, **options),
            keras.layers.BatchNormalization(**options),
            keras.layers.Flatten(**options),
            keras.layers.Dense(3, **options),
        ]
    )
    learner = learner_of(network, normalization="inductive")
    random = np.random.default_rng(0)
    labels = tf.tile(tf.range(3)[tf.newaxis], [2, 1])
    x = (tf.constant(random.random((2, 3, 12, 12, 1))), labels)
    queries = tf.constant(random.random((2, 3, 12, 12, 1)))
    together = learner.meta_gradient((*x, queries), labels)
    monkeypatch.setattr(execution, "LARGE", 1)
    learner = learner_of(network, normalization="inductive")
    assert learner.execution_of(((*x, queries), labels)) == "sequential"
    for one, other in zip(
        together[0], learner.meta_gradient((*x, queries), labels)[0], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
