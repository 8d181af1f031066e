"""Batch normalisation against the plain formula, finite differences, and float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tfmeta.derivatives import batch_kernels
from tfmeta.derivatives.batch_normalization import BatchNormalization
from tfmeta.inner import exact_derivatives, portable_operations

EPSILON = 1e-3
SHAPES = ((6, 5), (3, 4, 5), (3, 2, 4, 5), (2, 2, 2, 3, 5))
AFFINE = ((True, True), (False, True), (True, False), (False, False))


@pytest.fixture
def fused_everywhere(monkeypatch):
    """Fused operations also where the data are small."""
    monkeypatch.setattr(batch_kernels, "_LARGE", 1)


def arguments(shape, affine=(True, True), dtype="float64", seed=0):
    """Inputs, and scale and offset or None."""
    generator = np.random.default_rng(seed)
    inputs = tf.constant(generator.normal(2, 1.5, shape), dtype)
    return inputs, *(
        tf.constant(generator.normal(size=shape[-1]), dtype) if given else None for given in affine
    )


def plain(inputs, scale, offset):
    """The definition, whose derivatives TensorFlow takes op by op."""
    axes = list(range(inputs.shape.rank - 1))
    mean = tf.reduce_mean(inputs, axes)
    variance = tf.reduce_mean((inputs - mean) ** 2, axes)
    outputs = (inputs - mean) / tf.sqrt(variance + EPSILON)
    outputs = outputs if scale is None else outputs * scale
    return outputs if offset is None else outputs + offset


def fused(inputs, scale, offset):
    return BatchNormalization(inputs, fused=True)(EPSILON, scale, offset)


def composed(inputs, scale, offset):
    return BatchNormalization(inputs, fused=False)(EPSILON, scale, offset)


def derivatives(function, given, order):
    """A scalar of the outputs, and its derivatives along changing directions, flattened."""
    present = [t for t in given if t is not None]
    generator = np.random.default_rng(1)

    def fill(values):
        values = iter(values)
        return [None if t is None else next(values) for t in given]

    def scalar(values):
        outputs = function(*fill(values))
        weights = tf.constant(np.random.default_rng(2).normal(size=outputs.shape), outputs.dtype)
        return tf.reduce_sum(weights * tf.sin(outputs))

    def derivative(inner):
        directions = [tf.constant(generator.normal(size=t.shape), t.dtype) for t in present]

        def along(values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                value = inner(values)
            slopes = tape.gradient(value, values)
            return tf.add_n([tf.reduce_sum(s * d) for s, d in zip(slopes, directions, strict=True)])

        return along

    for _ in range(order - 1):
        scalar = derivative(scalar)
    with tf.GradientTape() as tape:
        tape.watch(present)
        value = scalar(present)
    return [value, *tape.gradient(value, present)]


@pytest.mark.parametrize("affine", AFFINE, ids=str)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_derivatives_to_the_third_are_those_of_the_formula(shape, order, affine):
    given = arguments(shape, affine)
    found, expected = (derivatives(f, given, order) for f in (composed, plain))
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("affine", AFFINE, ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_those_of_finite_differences(order, affine):
    inputs, *rest = arguments((3, 2, 4, 5), affine)
    direction = tf.constant(np.random.default_rng(3).normal(size=inputs.shape))
    slope = tf.reduce_sum(derivatives(composed, (inputs, *rest), order)[1] * direction)
    ahead, behind = (
        derivatives(composed, (inputs + step * direction, *rest), order)[0]
        for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)


def test_a_scale_of_zero_has_the_gradient_of_any_other():
    inputs, scale, offset = arguments((3, 2, 4, 5))
    given = inputs, tf.zeros_like(scale), offset
    for order in (1, 2):
        found, expected = (derivatives(f, given, order) for f in (composed, plain))
        for value, reference in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("affine", AFFINE, ids=str)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 2, 4, 5), (1, 1, 4, 5), (2, 2, 2, 3, 5)], ids=str)
def test_fused_operations_compute_the_same(shape, order, affine, traced, fused_everywhere):
    given = arguments(shape, affine, "float32")
    in_double = [None if t is None else tf.cast(t, "float64") for t in given]

    def function():
        return derivatives(fused, given, order)

    found = (tf.function(function, autograph=False) if traced else function)()
    expected = derivatives(plain, in_double, order)
    for value, reference in zip(found, expected, strict=True):
        size = np.abs(reference).max()
        np.testing.assert_allclose(value, reference, rtol=0, atol=2e-5 * size)


def jacobian_loss(function, inputs, scale, offset):
    """A function of all first derivatives of some outputs, and its gradient."""
    given = [inputs, scale, offset]
    with tf.GradientTape() as outer:
        outer.watch(given)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(given)
            outputs = tf.reduce_sum(tf.sin(function(*given)), [1, 2])[:, :2]
        rows = tape.jacobian(outputs, given)
        loss = tf.add_n([tf.reduce_sum(tf.sin(row)) for row in rows])
    return [loss, *outer.gradient(loss, given)]


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize(
    ("function", "dtype", "near"), [(composed, "float64", 1e-9), (fused, "float32", 2e-5)]
)
def test_derivatives_of_jacobians_are_those_of_the_formula(
    function, dtype, near, traced, fused_everywhere
):
    given = arguments((3, 2, 4, 5))
    found = tf.function(jacobian_loss, autograph=False) if traced else jacobian_loss
    actual = found(function, *(tf.cast(t, dtype) for t in given))
    for value, reference in zip(actual, jacobian_loss(plain, *given), strict=True):
        np.testing.assert_allclose(value, reference, rtol=0, atol=near * np.abs(reference).max())


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("function", "dtype", "near"), [(composed, "float64", 1e-9), (fused, "float32", 2e-5)]
)
def test_a_traced_function_may_be_differentiated_as_a_whole(
    function, dtype, near, order, fused_everywhere
):
    given = arguments((3, 2, 4, 5))
    whole = tf.function(lambda *given: derivatives(function, given, order)[0], autograph=False)
    in_type = [tf.cast(t, dtype) for t in given]
    with tf.GradientTape() as tape:
        tape.watch(in_type)
        value = whole(*in_type)
    found = [value, *tape.gradient(value, in_type)]
    for value, reference in zip(found, derivatives(plain, given, order), strict=True):
        np.testing.assert_allclose(value, reference, rtol=0, atol=near * np.abs(reference).max())


def test_moments_of_many_numbers_keep_their_digits():
    inputs = np.random.default_rng(0).normal(1, 2, (40, 80, 80, 4)).astype(np.float32)
    assert batch_kernels.FusedKernels.serve(tf.constant(inputs))
    batch = BatchNormalization(tf.constant(inputs), fused=True)
    flat = inputs.astype(np.float64).reshape(-1, 4)
    np.testing.assert_allclose(batch.mean, flat.mean(0), rtol=2e-6)
    np.testing.assert_allclose(batch.variance, flat.var(0), rtol=2e-6)
    found = batch_kernels.totals(tf.constant(inputs))
    np.testing.assert_allclose(found, flat.sum(0), rtol=2e-6)


def test_the_number_of_examples_may_be_unknown():
    inputs, scale, offset = arguments((3, 2, 4, 5))
    signature = [tf.TensorSpec([None, 2, 4, 5], tf.float64)]

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = composed(inputs, scale, offset)
        value = tf.reduce_sum(tf.sin(outputs))
    expected = tape.gradient(value, inputs)

    @tf.function(input_signature=signature, autograph=False)
    def found(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = tf.reduce_sum(tf.sin(composed(values, scale, offset)))
        return tape.gradient(value, values)

    np.testing.assert_allclose(found(inputs), expected, rtol=1e-12)


def operations(function, *given):
    return {node.op for node in function.get_concrete_function(*given).graph.as_graph_def().node}


def normalised_by_keras(layer, inputs, **scope):
    with exact_derivatives(**scope), tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    return tape.gradient(outputs, inputs)


def test_keras_layers_take_fused_operations_where_they_pay_and_are_portable_not_else():
    layer = keras.layers.BatchNormalization()
    large, small = tf.ones([8, 32, 32, 16]), tf.ones([2, 3, 3, 16])
    layer.build(large.shape)

    def traced(inputs, **scope):
        function = tf.function(lambda x: normalised_by_keras(layer, x, **scope), autograph=False)
        return operations(function, inputs)

    fused = {"FusedBatchNormV3", "FusedBatchNormGradV3"}
    assert tf.config.list_logical_devices("GPU") or fused <= traced(large)
    assert not fused & traced(small)
    assert not fused & traced(large, xla=True)
    with portable_operations():
        assert not fused & traced(large)


def biased(inputs, bias, scale, offset):
    """As a convolution with a bias before a layer that normalises, and a way around the layer."""
    with exact_derivatives():
        shifted = tf.nn.bias_add(inputs, bias)
        mean, variance = tf.nn.moments(shifted, [0, 1, 2])
        outputs = tf.nn.batch_normalization(shifted, mean, variance, offset, scale, EPSILON)
    return outputs + shifted * mean * variance


def biased_plain(inputs, bias, scale, offset):
    shifted = inputs + bias
    mean = tf.reduce_mean(shifted, [0, 1, 2])
    variance = tf.reduce_mean((shifted - mean) ** 2, [0, 1, 2])
    return plain(shifted, scale, offset) + shifted * mean * variance


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_bias_has_its_derivatives_by_all_that_is_not_normalised(order):
    inputs, scale, offset = arguments((3, 2, 4, 5))
    given = inputs, tf.constant(np.random.default_rng(4).normal(size=5)), scale, offset
    found, expected = (derivatives(f, given, order) for f in (biased, biased_plain))
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bias_before_a_layer_that_normalises_has_the_gradient_0(dtype, traced, fused_everywhere):
    inputs, scale, offset = (tf.cast(t, dtype) for t in arguments((3, 2, 4, 5)))
    bias = tf.linspace(tf.constant(-1, dtype), 1, 5)

    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([inputs, bias])
            with exact_derivatives():
                shifted = tf.nn.bias_add(inputs, bias)
                moments = tf.nn.moments(shifted, [0, 1, 2])
                outputs = tf.nn.batch_normalization(shifted, *moments, offset, scale, EPSILON)
            value = tf.reduce_sum(tf.sin(outputs))
        return [tape.gradient(value, source) for source in (inputs, shifted, bias)]

    of_inputs, of_sum, of_bias = (
        tf.function(gradients, autograph=False) if traced else gradients
    )()
    np.testing.assert_array_equal(of_bias, np.zeros(5))
    np.testing.assert_array_equal(of_inputs, of_sum)
    assert np.abs(of_sum).max() > 0.01


def test_a_bias_is_taken_in_the_type_of_its_images():
    images = tf.ones([1, 2, 2, 3], tf.float64)
    with exact_derivatives():
        np.testing.assert_array_equal(tf.nn.bias_add(images, [1.0, 2.0, 3.0])[0, 0, 0], [2, 3, 4])


@pytest.mark.parametrize("function", [composed, fused])
def test_forward_mode_gives_the_same_derivative(function, fused_everywhere):
    given = [tf.cast(t, "float32") for t in arguments((3, 2, 4, 5))]
    directions = [tf.cast(t, "float32") for t in arguments((3, 2, 4, 5), seed=1)]

    def along(forward):
        with tf.autodiff.ForwardAccumulator(given, directions) as accumulator:
            outputs = tf.reduce_sum(tf.sin(forward(*given)))
        return accumulator.jvp(outputs)

    np.testing.assert_allclose(along(function), along(plain), rtol=1e-4)


def network():
    """Of what the fused operations stand in, with trained scales."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("tanh"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def meta_gradient(dtype, parallel):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        learner = tfmeta.MAML(network(), inner_rate=0.1, inner_steps=2, parallel=parallel)
        generator = np.random.default_rng(0)
        for variable in learner.network.trainable_variables:
            variable.assign(generator.normal(0.2, 0.5, variable.shape))
    finally:
        keras.config.set_dtype_policy(policy)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = [tf.constant(generator.normal(size=(2, n, 8, 8, 3)), dtype) for n in (6, 9)]
    labels = [tf.constant(generator.integers(3, size=(2, n))) for n in (6, 9)]
    return learner.meta_gradient((images[0], labels[0], images[1]), labels[1])


@pytest.mark.parametrize(
    "parallel", ["sequential", pytest.param("vectorized", marks=pytest.mark.slow)]
)
def test_a_meta_gradient_through_fused_operations_is_that_of_float64(parallel, fused_everywhere):
    found, outputs = meta_gradient("float32", parallel)
    expected, reference = meta_gradient("float64", parallel)
    np.testing.assert_allclose(outputs, reference, atol=2e-4)
    largest = max(np.abs(e).max() for e in expected)
    for value, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, exact, rtol=0, atol=5e-5 * largest)
