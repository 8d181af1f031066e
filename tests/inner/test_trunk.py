"""The trunk: the same numbers as the whole network, from layers that ran once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.inner import PureNetwork, TracedTrunk, find_trunk, masks_of
from tfmeta.inner.example_wise import answers_alone

SIZE, CHANNELS = 4, 2
layers = keras.layers


def conv(name, filters=CHANNELS, **options):
    return layers.Conv2D(filters, 3, padding="same", activation="tanh", name=name, **options)


def head(x):
    return layers.Dense(3, name="head", kernel_regularizer="l2")(layers.Flatten()(x))


def chain():
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    x = conv("conv", kernel_regularizer="l2", activity_regularizer="l2")(inputs)
    return keras.Model(inputs, head(layers.BatchNormalization(name="norm")(x)))


def skip():
    """What adapts reads the trunk's end, its middle and the input."""
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    first = conv("conv")(inputs)
    x = layers.BatchNormalization(name="norm")(first)
    x = conv("head_conv")(x) + keras.ops.tanh(first * 0.5) + inputs
    return keras.Model(inputs, head(x))


def nested():
    """A model inside that adapts in its second half, called twice; its averages move twice."""
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    x = layers.BatchNormalization(name="norm")(conv("conv")(inputs))
    block = keras.Model(inputs, conv("head_conv")(x), name="block")
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    return keras.Model(inputs, head(block(block(inputs) * 0.5) + inputs))


def sequential():
    backbone = keras.Sequential(
        [keras.Input((SIZE, SIZE, CHANNELS)), conv("conv"), layers.BatchNormalization()],
        name="backbone",
    )
    return keras.Sequential([backbone, layers.Flatten(), layers.Dense(3, name="head")])


def named_inputs():
    inputs = {name: keras.Input((SIZE, SIZE, CHANNELS), name=name) for name in ("left", "right")}
    both = [conv(f"conv_{name}")(tensor) for name, tensor in inputs.items()]
    return keras.Model(inputs, head(layers.Concatenate()(both)))


def masked():
    """The features carry a mask, which the head's pooling and the outputs need."""
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 4, mask_zero=True, name="embedding")(inputs)
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True, name="lstm"))(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


class Counter(layers.Layer):
    """Scales by the number of its calls in training mode."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="ones", trainable=False, name="calls")

    def call(self, inputs, training=False):
        if training:
            self.calls.assign(self.calls + 1)
        return inputs * keras.ops.cast(self.calls, inputs.dtype)


def counting():
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    return keras.Model(inputs, head(Counter(name="counter")(conv("conv")(inputs))))


NETWORKS = (chain, skip, nested, sequential, named_inputs, masked, counting)
TRUNKS = {
    "chain": ["conv", "norm", "flatten"],
    "skip": ["conv", "norm"],
    "nested": ["conv"],
    "sequential": ["backbone", "flatten"],
    "named_inputs": ["conv_left", "conv_right", "concatenate", "flatten"],
    "masked": ["embedding", "bidirectional"],
    "counting": ["conv", "counter", "flatten"],
}


class Case:
    """A network in float64 as a pure function, its trunk, values and inputs."""

    def __init__(self, make, adapted="head", **options):
        keras.utils.set_random_seed(1)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float64")
        try:
            self.network = make()
        finally:
            keras.config.set_dtype_policy(policy)
        self.pure = PureNetwork(self.network, **options)
        self.adapted = [i for i, path in enumerate(self.pure.paths) if adapted in path]
        self.trunk = find_trunk(self.pure, self.adapted)
        rng = np.random.default_rng(0)
        self.weights = [
            tf.constant(v.numpy() + 0.3 * rng.normal(size=v.shape))
            for v in self.network.trainable_variables
        ]
        self.state = [tf.convert_to_tensor(v) for v in self.network.non_trainable_variables]

    def inputs(self, examples=3, seed=0):
        rng = np.random.default_rng(seed)

        def draw(symbol):
            shape = (examples, *symbol.shape[1:])
            if "int" in symbol.dtype:
                return tf.constant(rng.integers(4, size=shape), symbol.dtype)
            return tf.constant(rng.normal(size=shape))

        structure = self.network._inputs_struct if hasattr(self.network, "_inputs_struct") else None
        structure = self.network.inputs if structure is None else structure
        if isinstance(structure, list):
            return draw(structure[0])
        return keras.tree.map_structure(draw, structure)

    def moved(self):
        """Weights that differ in what adapts."""
        return [w + 0.1 if i in self.adapted else w for i, w in enumerate(self.weights)]

    def features(self, inputs, **options):
        return self.trunk.features(self.pure, self.weights, self.state, inputs, **options)


def assert_same(first, second):
    for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    masks = [getattr(found[0], "_keras_mask", None) for found in (first, second)]
    assert (masks[0] is None) == (masks[1] is None)
    if masks[0] is not None:
        np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_known_features_give_what_the_whole_network_gives(make):
    case = Case(make)
    names = [name.rstrip("_0123456789") for name in case.trunk.layers]
    assert names == TRUNKS[make.__name__]
    inputs = case.inputs()
    for training, weights in ((True, None), (True, tf.constant([1.0, 0.0, 2.0])), (False, None)):
        options = {"batch_statistics": training, "example_weights": weights}
        knowing = case.pure.knowing(case.features(inputs, **options))
        moved = case.moved()
        expected = case.pure(moved, case.state, inputs, **options)
        # Outputs, state and own losses, whose order is free.
        outputs, state, losses = knowing(moved, case.state, inputs, **options)
        assert_same((outputs, state, sum(losses)), (*expected[:2], sum(expected[2])))


def test_what_is_not_of_the_very_tensors_is_computed_anew():
    case = Case(chain)
    inputs = case.inputs()
    knowing = case.pure.knowing(case.features(inputs, batch_statistics=True))
    others = (
        (case.moved(), case.state, tf.identity(inputs), {"batch_statistics": True}),
        ([1.1 * w for w in case.weights], case.state, inputs, {"batch_statistics": True}),
        (case.weights, [s + 0.5 for s in case.state], inputs, {"batch_statistics": False}),
        (case.weights, case.state, inputs, {"batch_statistics": False}),
        (
            *(case.weights, case.state, inputs),
            {"batch_statistics": True, "example_weights": tf.constant([1.0, 0.0, 1.0])},
        ),
    )
    for weights, state, given, options in others:
        found = knowing(weights, state, given, **options)
        assert_same(found, case.pure(weights, state, given, **options))


@pytest.mark.parametrize("batch_statistics", [True, False])
def test_layers_of_the_trunk_run_once(batch_statistics):
    case = Case(chain)

    @tf.function(autograph=False)
    def traced(inputs):
        options = {"batch_statistics": batch_statistics}
        knowing = case.pure.knowing(case.features(inputs, **options))
        return [knowing(case.moved(), case.state, inputs, **options)[0] for _ in range(3)]

    operations = traced.get_concrete_function(case.inputs()).graph.get_operations()
    assert sum(op.type == "Conv2D" for op in operations) == 1


def test_second_derivatives_flow_through_the_features():
    case = Case(nested)
    inputs, options = case.inputs(), {"batch_statistics": True}
    vector = [tf.ones_like(case.weights[i]) for i in case.adapted]

    def mixed(known):
        """The gradient, by all weights, of a gradient by what adapts."""
        with tf.GradientTape() as outer:
            outer.watch(case.weights)
            pure = case.pure.knowing(case.features(inputs, **options)) if known else case.pure
            with tf.GradientTape() as tape:
                tape.watch([case.weights[i] for i in case.adapted])
                loss = tf.reduce_sum(pure(case.weights, case.state, inputs, **options)[0] ** 2)
            first = tape.gradient(loss, [case.weights[i] for i in case.adapted])
            product = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(first, vector, strict=True)])
        return outer.gradient(product, case.weights)

    for with_trunk, without in zip(mixed(True), mixed(False), strict=True):
        np.testing.assert_allclose(with_trunk, without, rtol=1e-9, atol=1e-11)


def test_a_network_whose_first_layer_adapts_has_no_trunk():
    assert Case(chain, adapted="conv").trunk is None


def test_a_subclassed_network_has_no_trunk():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.body, self.head = layers.Dense(2), layers.Dense(3, name="head")

        def call(self, inputs):
            return self.head(self.body(inputs))

    def built():
        network = Subclassed()
        network(np.zeros((1, 2)))
        return network

    assert Case(built).trunk is None


def test_where_noise_is_on_it_and_what_follows_are_behind_the_trunk():
    def noisy():
        inputs = keras.Input((SIZE, SIZE, CHANNELS))
        return keras.Model(inputs, head(layers.Dropout(0.5, name="drop")(conv("conv")(inputs))))

    assert Case(noisy, dropout=True).trunk.layers == ["conv"]
    silent = Case(noisy)
    assert silent.trunk.layers[:2] == ["conv", "drop"]


def test_a_layer_that_keeps_state_is_on_one_side_only():
    def shared():
        counter = Counter(name="counter")
        inputs = keras.Input((SIZE, SIZE, CHANNELS))
        x = counter(conv("conv")(inputs))
        return keras.Model(inputs, head(counter(conv("head_conv")(x))))

    case = Case(shared)
    assert case.trunk.layers == ["conv"]
    inputs, options = case.inputs(), {"batch_statistics": True}
    knowing = case.pure.knowing(case.features(inputs, **options))
    found = knowing(case.weights, case.state, inputs, **options)
    assert_same(found[:2], case.pure(case.weights, case.state, inputs, **options)[:2])


@pytest.mark.parametrize("make", [chain, masked, named_inputs], ids=lambda make: make.__name__)
def test_a_traced_trunk_is_traced_once_and_gives_the_same(make):
    case = Case(make)
    trunk = TracedTrunk(case.trunk)
    calling = case.pure.calling(trunk)
    options = {"batch_statistics": False}

    for _ in range(2):  # two signatures

        @tf.function(autograph=False)
        def signature(inputs):
            outputs, _, losses = calling(case.moved(), case.state, inputs, **options)
            return outputs, sum(losses), *masks_of(outputs)

        free = keras.tree.map_structure(
            lambda t: tf.TensorSpec((None, *t.shape[1:]), t.dtype), case.inputs()
        )
        concrete = signature.get_concrete_function(free)
        inputs = case.inputs()
        expected, _, losses = case.pure(case.moved(), case.state, inputs, **options)
        found = (expected, sum(losses), *masks_of(expected))
        for a, b in zip(concrete(inputs), found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert len(trunk._traced) == 1


@pytest.mark.parametrize(
    ("layer", "training", "alone"),
    [
        (layers.Conv2D(2, 3), True, True),
        (layers.BatchNormalization(), True, False),
        (layers.BatchNormalization(), False, True),
        (layers.BatchNormalization(trainable=False), True, True),
        (layers.LayerNormalization(axis=0), False, False),
        (layers.Concatenate(axis=0), False, False),
        (layers.Activation(lambda x: x - keras.ops.mean(x, axis=0)), False, False),
        (layers.Lambda(lambda x: x), False, False),
        (layers.Dense(2, activity_regularizer="l2"), False, False),
    ],
)
def test_layers_known_to_answer_each_example_alone(layer, training, alone):
    assert answers_alone(layer, training=training) is alone


def of(*calls):
    """The operation that symbolic calls used, of inputs with these shapes behind the batch."""
    call, *shapes = calls
    tensors = [keras.Input(shape) for shape in shapes]
    return call(*tensors)._keras_history.operation


ops = keras.ops
LONE_NORM = {"center": False, "scale": False}


@pytest.mark.parametrize(
    ("operation", "alone"),
    [
        (lambda: of(ops.subtract, (1, 3), (3,)), False),  # [N, 1, 3] - [N, 3] is [N, N, 3]
        (lambda: of(ops.subtract, (3,), (3,)), True),
        (lambda: of(lambda x: x * 2.0, (3,)), True),
        (lambda: of(lambda x: x + np.ones(3), (3,)), True),
        (lambda: of(lambda x: x + np.ones((1, 3)), (3,)), True),
        (lambda: of(lambda x: x + np.ones((4, 1, 3)), (3,)), False),
        (lambda: of(lambda x: x * np.ones(4), ()), False),
        (lambda: of(lambda *x: layers.Subtract()(list(x)), (1, 3), (3,)), False),
        (lambda: of(lambda *x: layers.Add()(list(x)), (2, 3), (2, 3)), True),
        (lambda: of(lambda *x: layers.Concatenate(axis=-1)(list(x)), (3,), (3,)), True),
        (lambda: of(lambda *x: layers.Concatenate(axis=-2)(list(x)), (2, 3), (2, 3)), True),
        (lambda: layers.Concatenate(axis=-1), False),  # of ranks that are not known
        (lambda: layers.LayerNormalization(axis=[-2, -1]), False),
        (lambda: of(layers.LayerNormalization(axis=[-2, -1], **LONE_NORM), (2, 3)), True),
        (lambda: of(layers.LayerNormalization(axis=-1), (3,)), True),
        (lambda: of(layers.GroupNormalization(1), (2, 3)), True),
        (lambda: of(layers.Softmax(axis=0), (3,)), False),
        (lambda: of(layers.Activation("softmax"), (3,)), True),
        (lambda: of(layers.Activation("softmax"), ()), False),  # over the batch
        (lambda: of(layers.Activation(ops.logsumexp), (3,)), False),
        (lambda: of(layers.Rescaling(0.5), (3,)), True),
        (lambda: of(layers.Rescaling(np.ones((4, 1, 3))), (3,)), False),
        (lambda: of(layers.Reshape((3, 1)), (3,)), True),
        (lambda: of(layers.Permute((2, 1)), (2, 3)), True),
    ],
)
def test_operations_known_by_the_shapes_that_they_were_called_with(operation, alone):
    assert answers_alone(operation(), training=True) is alone


def test_negative_axes_that_are_the_batch_are_not_known_to_answer_alone():
    for layer in (
        layers.LayerNormalization(axis=[-2, -1], **LONE_NORM),
        layers.Concatenate(axis=-2),
    ):
        inputs = [keras.Input((3,), batch_size=4) for _ in range(2)]
        layer(inputs if isinstance(layer, layers.Concatenate) else inputs[0])
        assert not answers_alone(layer, training=True)


def test_a_difference_broadcast_over_the_batch_is_found():
    inputs = keras.Input((3,))
    pairs = layers.Reshape((1, 3))(inputs) - inputs
    network = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(pairs)))
    assert not answers_alone(network, training=True)
    assert PureNetwork(network).depends_on_batch()
