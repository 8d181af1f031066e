"""Converters give what one task after another gives, whichever operands differ between tasks."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.parallel import map_tasks

TASKS, EXAMPLES = 3, 2

RNG = np.random.default_rng(0)

# Which of (images, kernel, output gradient) differ between tasks.
STACKED = [which for which in itertools.product([True, False], repeat=3) if any(which)]


def conv2d(**options):
    return lambda x, k: tf.nn.conv2d(x, k, data_format="NHWC", **options)


def conv3d(strides, padding, dilations=1):
    return lambda x, k: tf.nn.conv3d(
        x, k, [1, *[strides] * 3, 1], padding, dilations=[1, *[dilations] * 3, 1]
    )


def depthwise(strides, padding):
    return lambda x, k: tf.nn.depthwise_conv2d(x, k, [1, strides, strides, 1], padding)


CASES = {
    "conv2d, stride 2, same": (
        conv2d(strides=2, padding="SAME"),
        (5, 6, 2),
        (3, 3, 2, 3),
    ),
    "conv2d, pixels long enough to be gathered": (
        conv2d(strides=(2, 1), padding="SAME"),
        (5, 4, 5),
        (3, 2, 5, 2),
    ),
    "conv2d, rows and columns that no window sees": (
        conv2d(strides=(2, 3), padding="VALID"),
        (6, 9, 5),
        (3, 2, 5, 2),
    ),
    "conv2d, stride (3, 2), window below stride": (
        conv2d(strides=(3, 2), padding="VALID"),
        (7, 6, 2),
        (2, 1, 2, 3),
    ),
    "conv2d, dilated": (
        # As Keras: the operation's own dilation has no gradient on CPU.
        lambda x, k: tf.nn.convolution(x, k, padding="SAME", dilations=(2, 1)),
        (5, 6, 2),
        (3, 2, 2, 3),
    ),
    "conv3d, same": (conv3d(1, "SAME"), (4, 3, 5, 2), (3, 2, 3, 2, 3)),
    "conv3d, stride 2, same": (conv3d(2, "SAME"), (5, 4, 3, 2), (3, 3, 2, 2, 3)),
    "conv3d, stride 2, valid": (conv3d(2, "VALID"), (6, 5, 4, 2), (3, 2, 2, 2, 3)),
    "conv3d, window below stride": (conv3d(3, "VALID"), (7, 5, 4, 1), (1, 2, 2, 1, 2)),
    "depthwise, same": (depthwise(1, "SAME"), (5, 4, 2), (3, 3, 2, 2)),
    "depthwise, stride 2, valid": (depthwise(2, "VALID"), (5, 6, 3), (2, 3, 3, 1)),
}


def loops(concrete):
    nodes = list(concrete.graph.as_graph_def().node)
    for function in concrete.graph.as_graph_def().library.function:
        nodes.extend(function.node_def)
    return {node.op for node in nodes if "While" in node.op}


def compare(function, tasks):
    vectorised = tf.function(
        lambda tasks: map_tasks(function, tasks, parallel="vectorized"), autograph=False
    ).get_concrete_function(tasks)
    results = vectorised(*tf.nest.flatten(tasks))
    for index in range(TASKS):
        expected = function([t[index] for t in tasks])
        for actual, value in zip(results, expected, strict=True):
            np.testing.assert_allclose(actual[index], value, rtol=0, atol=1e-11)
    return loops(vectorised)


def operands(shapes, stacked):
    """The tensors that differ between tasks, and a function that fills in the others."""
    tensors = [
        tf.constant(RNG.normal(size=((TASKS, *shape) if which else shape)))
        for shape, which in zip(shapes, stacked, strict=True)
    ]

    def filled(task):
        task = iter(task)
        return [
            next(task) if which else tensor for tensor, which in zip(tensors, stacked, strict=True)
        ]

    return [t for t, which in zip(tensors, stacked, strict=True) if which], filled


@pytest.mark.parametrize("stacked", STACKED, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_convolution_and_its_gradients_equal_those_of_single_tasks(name, stacked):
    convolution, image, kernel = CASES[name]
    shapes = [(EXAMPLES, *image), kernel]
    output = convolution(tf.zeros(shapes[0]), tf.zeros(shapes[1])).shape
    tasks, filled = operands([*shapes, tuple(output)], stacked)

    def function(task):
        x, k, cotangent = filled(task)
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            y = convolution(x, k)
        return [y, *tape.gradient(y, [x, k], output_gradients=cotangent)]

    assert not compare(function, tasks)


PLANE = (tf.nn.conv2d, [(EXAMPLES, 6, 5, 2), (3, 2, 2, 3)])
VOLUME = (tf.nn.conv3d, [(EXAMPLES, 5, 4, 4, 2), (2, 2, 2, 2, 3)])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("kind", "dilations"),
    [(PLANE, (2, 1)), (PLANE, (1, 2)), (VOLUME, (2, 1, 1)), (VOLUME, (1, 2, 2))],
    ids=["conv2d down", "conv2d across", "conv3d deep", "conv3d across"],
)
def test_the_operations_own_dilation_and_its_gradients(kind, dilations, padding):
    # The operation's dilation has a gradient by converters alone; the oracle has none to need one.
    # TensorFlow's shapes of a volume swap the dilations of rows and columns, so theirs are equal.
    operation, shapes = kind
    tasks, filled = operands(shapes, (True, True))
    every = (1, *dilations, 1)

    def function(convolution):
        def one(task):
            x, k = filled(task)
            with tf.GradientTape() as tape:
                tape.watch([x, k])
                y = convolution(x, k)
                loss = tf.reduce_sum(y**3)
            return [y, *tape.gradient(loss, [x, k])]

        return one

    native = tf.function(
        lambda tasks: map_tasks(
            function(lambda x, k: operation(x, k, [1] * len(every), padding, dilations=every)),
            tasks,
            parallel="vectorized",
        ),
        autograph=False,
    )(tasks)
    oracle = function(lambda x, k: tf.nn.convolution(x, k, 1, padding, dilations=dilations))
    for index in range(TASKS):
        for actual, expected in zip(native, oracle([t[index] for t in tasks]), strict=True):
            np.testing.assert_allclose(actual[index], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("stacked", [(True,), (False,)], ids=str)
def test_padding_keeps_its_value(stacked):
    tasks, filled = operands([(2, 3)], stacked)
    tasks = [*tasks, tf.zeros([TASKS])]

    def function(task):
        return [tf.pad(filled(task)[0], [(1, 0), (0, 2)], constant_values=7.0)]

    assert not compare(function, tasks)


def test_a_grouped_convolution_in_a_loop_that_tasks_leave_at_different_steps():
    tasks, filled = operands([(EXAMPLES, 5, 4, 4), (3, 2, 2, 6)], (True, True))

    def function(task):
        images, kernel = filled(task)

        def step(kernel):
            return [kernel * tf.tanh(tf.reduce_mean(tf.nn.conv2d(images, kernel, 1, "SAME")))]

        def goes_on(kernel):
            return tf.reduce_sum(kernel) > -4.0

        return tf.while_loop(goes_on, step, [kernel], maximum_iterations=4)

    compare(function, tasks)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_max_pooling_and_its_two_gradients_equal_those_of_single_tasks(padding):
    # Whole numbers tie; the first of a window takes the gradient, in every order.
    images = tf.constant(RNG.integers(3, size=(TASKS, EXAMPLES, 5, 4, 2)).astype("float64"))
    directions = tf.constant(RNG.normal(size=images.shape))

    def function(task):
        x, direction = task
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                pooled = tf.nn.max_pool2d(x, 2, 2, padding)
                loss = tf.reduce_sum(pooled**3)
            gradient = tape.gradient(loss, x)
            slope = tf.reduce_sum(gradient * direction)
        return [pooled, gradient, outer.gradient(slope, x)]

    assert not compare(function, [images, directions])


# Which of (output gradient, inputs, channels' values) differ between tasks; moments are of inputs.
@pytest.mark.parametrize("stacked", STACKED, ids=str)
def test_fused_batch_normalisation_equals_that_of_single_tasks(stacked):
    shapes = [(4, 3, 2, 5), (4, 3, 2, 5), (5,)]
    tasks, filled = operands(shapes, stacked)
    tasks = [tf.cast(tensor, tf.float32) for tensor in tasks]

    def function(task):
        z, x, scale = (tf.cast(tensor, tf.float32) for tensor in filled(task))
        none, zeros = tf.zeros([0]), tf.zeros([5])
        _, mean, bessel, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=tf.ones([5]), offset=zeros, mean=none, variance=none
        )
        variance = bessel * (23 / 24)
        affine, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=zeros, mean=mean, variance=variance, is_training=False
        )
        saved = {"reserve_space_1": mean, "reserve_space_2": variance, "reserve_space_3": none}
        gradients = [
            tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=z, x=x, scale=scale, is_training=training, **saved
            )
            for training in (True, False)
        ]
        return [mean, variance, affine, *(t for found in gradients for t in found[:3])]

    vectorised = tf.function(
        lambda t: map_tasks(function, t, parallel="vectorized"), autograph=False
    )(tasks)
    for index in range(TASKS):
        expected = function([t[index] for t in tasks])
        for actual, value in zip(vectorised, expected, strict=True):
            np.testing.assert_allclose(actual[index], value, rtol=0, atol=2e-5)
