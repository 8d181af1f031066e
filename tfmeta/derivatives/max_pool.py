"""Max pooling whose second derivative is right everywhere, and fast where windows do not overlap.

TensorFlow 2.18 to 2.21 get it wrong in graph mode on CPU when the output has the input's shape,
and under XLA on CPU at any stride (the maximum is picked as if in bfloat16). A tree of
`tf.maximum` over the window's strided slices is exact, ties included, and slower.

Elsewhere it is right, but on CPU the derivative of the gradient is a loop over pixels. Where each
pixel lies in one window, it is the sum over the window of what comes from above where the maximum
is: the gradient of ones says where, and an average pooling sums.
"""

import functools
import itertools
import math

import tensorflow as tf

from tfmeta.derivatives.recorded import recorded


def has_tiles(inputs, ksize, strides, padding, *, channels_first) -> bool:
    """Whether windows are of images, channels last, and lie side by side, none beyond a border."""
    return (
        inputs.shape.rank == 4
        and not channels_first
        and list(ksize) == list(strides)
        and padding in ("VALID", b"VALID")
    )


def tiled_max_pool(inputs, ksize):
    """Pools `inputs` [N, height, width, C] by windows that lie side by side."""
    options = {"ksize": list(ksize), "strides": list(ksize), "padding": "VALID"}

    def routed(values):
        return tf.raw_ops.MaxPoolGrad(
            orig_input=inputs, orig_output=outputs, grad=values, **options
        )

    def gradient(upstream):
        # Where the maximum is does not change with the inputs, almost everywhere.
        return recorded(
            "MaxPoolGradient", lambda: [routed(upstream)], gradient_of_gradient, [upstream]
        )

    def gradient_of_gradient(upstream):
        chosen = upstream * tf.stop_gradient(routed(tf.ones_like(outputs)))
        return [tf.raw_ops.AvgPool(value=chosen, **options) * math.prod(ksize)]

    (outputs,) = recorded(
        "MaxPool", lambda: [tf.raw_ops.MaxPool(input=inputs, **options)], gradient, [inputs]
    )
    return outputs


def keeps_shape(ksize, strides, padding) -> bool:
    """Whether pooling with these windows returns its input's shape."""
    unit_strides = all(stride == 1 for stride in strides)
    return unit_strides and (padding in ("SAME", b"SAME") or all(size == 1 for size in ksize))


def exact_max_pool(inputs, ksize, strides, padding, *, channels_first=False):
    """Pools `inputs` [N, ..., C], or [N, C, ...], as `tf.nn.max_pool`.

    Args:
        inputs: tensor with 1 to 3 spatial axes.
        ksize: window of each axis, batch and channels included (1 there).
        strides: of each axis, likewise.
        padding: "SAME" or "VALID".
        channels_first: whether the channels are the second axis.

    Raises:
        ValueError: if the padding is explicit, or a spatial size is unknown when tracing.
    """
    if channels_first:
        last = [0, *range(2, len(ksize)), 1]
        size, steps = ([values[axis] for axis in last] for values in (list(ksize), list(strides)))
        pooled = exact_max_pool(tf.transpose(inputs, last), size, steps, padding)
        return tf.transpose(pooled, [0, len(ksize) - 1, *range(1, len(ksize) - 1)])
    padding = padding.decode() if isinstance(padding, bytes) else padding
    windows, strides = list(ksize)[1:-1], list(strides)[1:-1]
    sizes = inputs.shape[1:-1].as_list()
    if padding not in ("SAME", "VALID") or None in sizes:
        raise ValueError(
            "Exact second derivatives through max pooling need padding 'same' or 'valid' and "
            f"known spatial sizes. Received: padding={padding!r}, input shape {inputs.shape}."
        )
    outputs = [
        -(-size // stride) if padding == "SAME" else (size - window) // stride + 1
        for size, window, stride in zip(sizes, windows, strides, strict=True)
    ]
    if padding == "SAME":
        inputs = _pad_same(inputs, sizes, outputs, windows, strides)
    slices = [
        _window_slice(inputs, offsets, outputs, strides)
        for offsets in itertools.product(*(range(window) for window in windows))
    ]
    return functools.reduce(tf.maximum, slices)


def _pad_same(inputs, sizes, outputs, windows, strides):
    paddings = [(0, 0)]
    for size, output, window, stride in zip(sizes, outputs, windows, strides, strict=True):
        total = max((output - 1) * stride + window - size, 0)
        paddings.append((total // 2, total - total // 2))
    return tf.pad(inputs, [*paddings, (0, 0)], constant_values=inputs.dtype.min)


def _window_slice(inputs, offsets, outputs, strides):
    parts = [
        slice(offset, offset + (output - 1) * stride + 1, stride)
        for offset, output, stride in zip(offsets, outputs, strides, strict=True)
    ]
    return inputs[(slice(None), *parts, slice(None))]
