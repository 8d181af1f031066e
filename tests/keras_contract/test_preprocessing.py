"""Lookup, text and other preprocessing layers train, adapt and are served."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfmeta
from tests.keras_contract.serving import assert_served_as_trained, learner_of
from tests.marks import marked

WORDS = np.array(["red blue", "blue green red", "cat dog", "dog cat cat", "one two", "two three"])
TOKENS = np.array([[["a", "b"], ["c", "d"], ["a", "a"]]])
NUMBERS = np.array([[[3, 5], [5, 7], [7, 9]]])
FLOATS = np.random.default_rng(0).normal(3, 2, (1, 6, 4)).astype("float32")
PIXELS = np.random.default_rng(0).integers(0, 256, (1, 6, 4, 4, 1)).astype("uint8")


class OwnTable(layers.Layer):
    """A user's layer with a table of TensorFlow's."""

    def __init__(self, **options):
        super().__init__(**options)
        keys = tf.constant([3, 5, 7], tf.int64)
        values = tf.constant([1, 2, 3], tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
        self.table = tf.lookup.StaticHashTable(initializer, 0)

    def call(self, x):
        return self.table.lookup(x)


def text():
    vectorization = layers.TextVectorization(max_tokens=20, output_sequence_length=4)
    vectorization.adapt(WORDS)
    inputs = keras.Input((), dtype="string")
    x = layers.Embedding(20, 4, mask_zero=True)(vectorization(inputs))
    network = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    return network, WORDS[np.newaxis, ::2], WORDS[np.newaxis, 1::2]


def embedded(layer, examples, dtype, size=8):
    inputs = keras.Input(examples.shape[2:], dtype=dtype)
    x = layers.Flatten()(layers.Embedding(size, 2)(layer(inputs)))
    return keras.Model(inputs, layers.Dense(3)(x)), examples[:, :3], examples[:, -3:]


def normalized():
    layer = layers.Normalization()
    layer.adapt(FLOATS[0])
    network = keras.Sequential([keras.Input((4,)), layer, layers.Dense(3)])
    return network, FLOATS[:, :3], FLOATS[:, 3:]


def rescaled():
    first = [keras.Input((4, 4, 1), dtype="uint8"), layers.Rescaling(1 / 255), layers.Flatten()]
    return keras.Sequential([*first, layers.Dense(3)]), PIXELS[:, :3], PIXELS[:, 3:]


NETWORKS = {
    "text": text,
    "strings": lambda: embedded(layers.StringLookup(vocabulary=["a", "b"]), TOKENS, "string"),
    "integers": lambda: embedded(layers.IntegerLookup(vocabulary=[3, 5]), NUMBERS, "int64"),
    "own table": lambda: embedded(OwnTable(), NUMBERS, "int64"),
    "hashing": lambda: embedded(layers.Hashing(8), TOKENS, "string"),
    "discretization": lambda: embedded(layers.Discretization([0.0, 5.0]), FLOATS, "float32"),
    "normalization": normalized,
    "uint8": rescaled,
}


@pytest.mark.parametrize("name", marked(NETWORKS, [], ["text", "own table", "normalization"]))
def test_a_network_that_preprocesses_is_served_as_trained(name, tmp_path):
    network, support, query = NETWORKS[name]()
    assert_served_as_trained(network, support, query, tmp_path)


@pytest.mark.parametrize("name", marked(["text", "own table"], ["text"]))
def test_texts_and_tables_adapt_as_arrays_do(name):
    network, support, query = NETWORKS[name]()
    learner = learner_of(network)
    labels = np.arange(3)[np.newaxis]
    one_step = learner.predict((support, labels, query), verbose=0)[0]
    stock = NETWORKS[name]()[0]
    stock.set_weights(network.get_weights())
    stock.compile(keras.optimizers.SGD(0.1), learner.loss)
    stock.train_on_batch(tf.constant(support[0]), labels[0])
    np.testing.assert_allclose(one_step, stock(tf.constant(query[0])), atol=1e-6)


@pytest.mark.parametrize("outputs", [lambda x: [x, x], lambda x: {"logits": x}, lambda x: (x,)])
def test_several_outputs_are_refused_at_the_constructor(outputs):
    inputs = keras.Input((4,))
    network = keras.Model(inputs, outputs(layers.Dense(3)(inputs)))
    with pytest.raises(ValueError, match="A network must have one output"):
        tfmeta.MAML(network)


def test_several_outputs_of_a_subclassed_network_are_refused_at_the_constructor():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x), x

    network = Two()
    network(np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match="a tuple of outputs, and a learner takes one"):
        tfmeta.MAML(network)
