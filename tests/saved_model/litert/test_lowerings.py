"""What stands for an operation in a LiteRT file computes the same, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.saved_model.litert.lowerings import LOWERINGS, lowered
from tfmeta.saved_model.litert.replay import replay

OPS = tf.raw_ops


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


A, B = numbers(4, 6), numbers(4, 6, seed=1)
POSITIVE = np.abs(A) + 0.1
HALF_ZERO = np.maximum(A, 0)


def gradient(name, *names, **options):
    """An operation as a function of the arguments of these names."""
    return lambda *values: getattr(OPS, name)(**dict(zip(names, values, strict=True)), **options)


def max_pool(size, strides, padding, height, width):
    images = numbers(2, height, width, 3)
    images[:, 0, 0] = images[:, 0, 1]  # Two maxima: the first one gets the gradient.
    options = {"ksize": [1, *size, 1], "strides": [1, *strides, 1], "padding": padding}
    outputs = OPS.MaxPool(input=tf.constant(images), **options).numpy()

    def function(x, y, g):
        return OPS.MaxPoolGrad(orig_input=x, orig_output=y, grad=g, **options)

    return function, images, outputs, numbers(*outputs.shape)


def average_pool(size, strides, padding, height, width):
    options = {"ksize": [1, *size, 1], "strides": [1, *strides, 1], "padding": padding}
    outputs = OPS.AvgPool(value=tf.zeros((2, height, width, 3), tf.float64), **options)

    def function(g):
        return OPS.AvgPoolGrad(orig_input_shape=[2, height, width, 3], grad=g, **options)

    return function, numbers(*outputs.shape)


def filters(size, stride, padding, height, width):
    images, kernel = numbers(2, height, width, 3), numbers(*size, 3, 4)
    options = {"strides": [1, stride, stride, 1], "padding": padding}
    outputs = OPS.Conv2D(input=tf.constant(images), filter=tf.constant(kernel), **options)

    def function(x, g):
        shape = kernel.shape
        return OPS.Conv2DBackpropFilter(input=x, filter_sizes=shape, out_backprop=g, **options)

    return function, images, numbers(*outputs.shape)


def depthwise(by, size, stride, padding, height, width, multiplier):
    images, kernel = numbers(2, height, width, 3), numbers(*size, 3, multiplier)
    options = {"strides": [1, stride, stride, 1], "padding": padding}
    outputs = OPS.DepthwiseConv2dNative(
        input=tf.constant(images), filter=tf.constant(kernel), **options
    )
    g = numbers(*outputs.shape)
    if by == "filter":

        def of_filter(x, g):
            return OPS.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=g, **options
            )

        return of_filter, images, g

    def of_images(f, g):
        return OPS.DepthwiseConv2dNativeBackpropInput(
            input_sizes=images.shape, filter=f, out_backprop=g, **options
        )

    return of_images, kernel, g


def sliced(x):
    return OPS.StridedSliceGrad(
        shape=[4, 6, 3],
        begin=[1, 0, 0],
        end=[4, 6, 0],
        strides=[2, 1, 1],
        dy=x,
        shrink_axis_mask=4,
        end_mask=2,
    )


def mirrored(x):
    paddings = [[0, 0], [1, 2], [2, 1], [0, 0]]
    return OPS.MirrorPadGrad(input=x, paddings=paddings, mode="REFLECT")


def bilinear(g, x):
    return OPS.ResizeBilinearGrad(grads=g, original_image=x, half_pixel_centers=True)


def nearest(g):
    return OPS.ResizeNearestNeighborGrad(grads=g, size=[4, 5], half_pixel_centers=True)


def float32(*shape):
    return numbers(*shape).astype(np.float32)


def reduced(name):
    def function(x):
        return getattr(OPS, name)(input=x, axis=[0, 2, -1], keep_dims=False)

    return function, numbers(1, 3, 2, 2, 1, 2)


def reduced_images(name):
    def function(x):
        return getattr(OPS, name)(input=x, axis=[0, 1, 2], keep_dims=True)

    return function, numbers(2, 3, 4, 5)


CASES = {
    **{f"{name} images": reduced_images(name) for name in ("Mean", "Sum")},
    **{name: reduced(name) for name in ("Max", "Mean", "Min", "Prod", "Sum")},
    "Sub": (tf.subtract, A, B),
    "Neg": (tf.negative, A),
    "RealDiv": (tf.divide, A, POSITIVE),
    "Reciprocal": (lambda x: OPS.Reciprocal(x=x), A),
    "Inv": (lambda x: OPS.Inv(x=x), A),
    "DivNoNan": (tf.math.divide_no_nan, A, HALF_ZERO),
    "Xdivy": (tf.math.xdivy, HALF_ZERO, HALF_ZERO),
    "InvGrad": (gradient("InvGrad", "y", "dy"), A, B),
    "ReciprocalGrad": (gradient("ReciprocalGrad", "y", "dy"), A, B),
    "SqrtGrad": (gradient("SqrtGrad", "y", "dy"), POSITIVE, B),
    "RsqrtGrad": (gradient("RsqrtGrad", "y", "dy"), A, B),
    "ClipByValue": (
        gradient("ClipByValue", "t", "clip_value_min", "clip_value_max"),
        A,
        np.float64(-1),
        np.float64(0.5),
    ),
    "Atan": (tf.atan, A),
    "Tan": (tf.tan, A),
    "Sinh": (tf.sinh, A),
    "Cosh": (tf.cosh, A),
    "Erf": (tf.math.erf, A),
    "Erfc": (tf.math.erfc, A),
    "ReluGrad": (gradient("ReluGrad", "gradients", "features"), A, B),
    "Relu6Grad": (gradient("Relu6Grad", "gradients", "features"), A, 10 * B),
    "LeakyReluGrad": (gradient("LeakyReluGrad", "gradients", "features", alpha=0.3), A, B),
    "EluGrad": (gradient("EluGrad", "gradients", "outputs"), A, B),
    "SeluGrad": (gradient("SeluGrad", "gradients", "outputs"), A, B),
    "Softplus": (tf.math.softplus, 300 * A),
    "SoftplusGrad": (gradient("SoftplusGrad", "gradients", "features"), A, B),
    "Softsign": (tf.math.softsign, A),
    "SoftsignGrad": (gradient("SoftsignGrad", "gradients", "features"), A, B),
    "SigmoidGrad": (gradient("SigmoidGrad", "y", "dy"), A, B),
    "TanhGrad": (gradient("TanhGrad", "y", "dy"), A, B),
    "SparseSoftmaxCrossEntropyWithLogits": (
        gradient("SparseSoftmaxCrossEntropyWithLogits", "features", "labels"),
        A,
        np.int32([0, 1, 2, 5]),
    ),
    "SoftmaxCrossEntropyWithLogits": (
        gradient("SoftmaxCrossEntropyWithLogits", "features", "labels"),
        A,
        0.9 * np.eye(6)[[0, 3, 2, 5]],
    ),
    "Conv2DBackpropFilter same": filters((3, 3), 2, "SAME", 7, 8),
    "Conv2DBackpropFilter valid": filters((3, 2), 2, "VALID", 9, 8),
    "Conv2DBackpropFilter gaps": filters((1, 1), 2, "SAME", 7, 8),
    "DepthwiseConv2dNativeBackpropFilter": depthwise("filter", (3, 3), 2, "SAME", 7, 8, 2),
    "DepthwiseConv2dNativeBackpropFilter valid": depthwise("filter", (3, 2), 2, "VALID", 8, 9, 1),
    "DepthwiseConv2dNativeBackpropInput": depthwise("images", (3, 3), 2, "SAME", 7, 8, 2),
    "DepthwiseConv2dNativeBackpropInput valid": depthwise("images", (3, 2), 2, "VALID", 8, 9, 1),
    "MaxPoolGrad tiles": max_pool((2, 2), (2, 2), "VALID", 21, 8),
    "MaxPoolGrad overlapping": max_pool((3, 3), (2, 2), "SAME", 7, 8),
    "MaxPoolGrad stride 1": max_pool((3, 3), (1, 1), "SAME", 5, 6),
    "MaxPoolGrad uneven": max_pool((3, 2), (2, 3), "VALID", 9, 8),
    "AvgPoolGrad tiles": average_pool((2, 2), (2, 2), "VALID", 9, 8),
    "AvgPoolGrad overlapping": average_pool((3, 2), (1, 2), "SAME", 5, 6),
    "StridedSliceGrad": (sliced, numbers(2, 6)),
    "MirrorPadGrad": (mirrored, numbers(2, 8, 9, 3)),
    "ResizeBilinearGrad": (bilinear, float32(2, 8, 9, 3), float32(2, 4, 5, 3)),
    "ResizeNearestNeighborGrad": (nearest, numbers(2, 8, 9, 3)),
}
TOLERANCE = {"Erf": 2e-7, "Erfc": 2e-7, "ResizeBilinearGrad": 1e-6}
# Operations that compute nothing, and another name of a division.
WITHOUT_CASE = {"CheckNumerics", "Div", "EnsureShape", "IdentityN", "PreventGradient"}
WITHOUT_CASE |= {"Snapshot", "StopGradient"}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_in_builtins_computes_the_same(name):
    kind = name.split()[0]
    function, *values = CASES[name]
    traced = tf.function(function, autograph=False).get_concrete_function(
        *[tf.TensorSpec(np.shape(value), np.asarray(value).dtype) for value in values]
    )
    written = []

    def translate(operation, inputs):
        if operation.type == kind:
            written.append(operation.type)
        return lowered(operation, inputs)

    @tf.function(autograph=False)
    def again(*values):
        known = {t.ref(): value for t, value in zip(traced.inputs, values, strict=True)}
        return replay(traced.outputs, known, translate)

    tensors = [tf.constant(value) for value in values]
    expected, found = tf.nest.flatten(traced(*tensors)), again(*tensors)
    assert written
    for wanted, got in zip(expected, found, strict=True):
        scale = max(1, np.abs(wanted).max())
        assert np.abs(wanted - got).max() <= TOLERANCE.get(kind, 1e-12) * scale


def test_every_lowering_is_tried():
    assert {name.split()[0] for name in CASES} | WITHOUT_CASE == set(LOWERINGS)
