"""Exact second derivatives through layers whose TensorFlow gradients are wrong from order two on.

`tf.nn.moments`, under every Keras normalisation layer, stops the gradient of the mean inside the
variance. The first derivative survives (the missing term is zero there); the second does not, and
a MAML meta-gradient is a second derivative. They get a gradient of their own (`moments`), and
batch normalisation by its batch's moments becomes one operation (`batch_normalization`). Max
pooling has two cases of its own (`max_pool`).

TensorFlow's own code is kept: the functions that `REPLACED` lists, each with its reason, get
transparent stand-ins, which act differently only on a thread that is inside `exact_derivatives()`.
Everything outside, other threads included, runs as before.
"""

import contextlib
import dataclasses
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.ops import nn_impl, nn_ops

from tfmeta.derivatives.batch_normalization import BatchNormalization, add_bias
from tfmeta.derivatives.max_pool import exact_max_pool, has_tiles, keeps_shape, tiled_max_pool
from tfmeta.derivatives.moments import exact_moments


@dataclasses.dataclass(frozen=True)
class _Scope:
    xla: bool = False
    example_weights: tf.Tensor | None = None
    # By the mean that they found: what normalises by it takes both steps together.
    batches: dict = dataclasses.field(default_factory=dict)


class _ThreadState(threading.local):
    scope: _Scope | None = None
    portable: bool = False


_thread = _ThreadState()
_install_lock = threading.Lock()


@contextlib.contextmanager
def exact_derivatives(
    *, xla: bool = False, example_weights: tf.Tensor | None = None
) -> Iterator[None]:
    """Makes moments and max pooling exact to any order, on this thread, inside the `with`.

    The forward pass is unchanged to rounding: bit for bit but for float32 batch normalisation on
    CPU, whose moments have more digits than TensorFlow's, and max pooling under `xla`.

    Args:
        xla: whether what is traced will be compiled by XLA, whose max pooling on CPU compares in
            reduced precision: it is then replaced at every stride.
        example_weights: tensor [N] or None. Examples of weight 0 are left out of every mean over
            the first axis that `tf.nn.moments` takes (batch normalisation).
    """
    _install()
    previous, _thread.scope = _thread.scope, _Scope(xla, example_weights)
    try:
        yield
    finally:
        _thread.scope = previous


@contextlib.contextmanager
def portable_operations() -> Iterator[None]:
    """What is traced inside, on this thread, computes the same on every device: for export.

    TensorFlow's fused gradient of batch normalisation takes a variance on CPU and an inverse
    deviation on a GPU.
    """
    previous, _thread.portable = _thread.portable, True
    try:
        yield
    finally:
        _thread.portable = previous


class _StandIn(types.ModuleType):
    """A module that answers some names itself and passes the others on."""

    def __init__(self, module, **replacements):
        super().__init__(module.__name__)
        self.__dict__.update(replacements, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)


def _install():
    """Puts every stand-in of `REPLACED` in place, once a process."""
    marker = REPLACED[-1]
    if isinstance(getattr(marker.owner, marker.within), _StandIn):
        return
    with _install_lock:
        if isinstance(getattr(marker.owner, marker.within), _StandIn):
            return
        for replaced in REPLACED:
            replaced.install()


def _moments(original):
    def moments(x, axes, shift=None, name=None, keep_dims=None, keepdims=None):
        scope = _thread.scope
        # Outside the scope whatever TensorFlow takes is passed on unseen: arrays, ragged tensors.
        if scope is None or scope.example_weights is not None or not tf.is_tensor(x):
            return original(x, axes, shift, name, keep_dims, keepdims)
        static = _static_axes(axes, x.shape.rank)
        if not static or x.dtype == tf.float16 or not x.dtype.is_floating:
            return original(x, axes, shift, name, keep_dims, keepdims)
        if sorted(static) == list(range(x.shape.rank - 1)):
            mean, variance = _batch_moments(scope, x)
            if not (keep_dims or keepdims):
                return mean, variance
            shape = [1] * (x.shape.rank - 1) + [-1]
            return tf.reshape(mean, shape), tf.reshape(variance, shape)
        mean, variance = exact_moments(x, sorted(static))
        if keep_dims or keepdims:
            return mean, variance
        return tf.squeeze(mean, static), tf.squeeze(variance, static)

    return moments


def _batch_moments(scope, x):
    batch = BatchNormalization(x, fused=not (scope.xla or _thread.portable))
    scope.batches[batch.mean.ref()] = batch
    return batch.mean, batch.variance


def _batch_normalization(original):
    @functools.wraps(original)
    def batch_normalization(x, mean, variance, offset, scale, variance_epsilon, name=None):
        scope = _thread.scope
        if scope is not None and tf.is_tensor(mean):
            batch = scope.batches.get(mean.ref())
            if batch is not None and batch.inputs is x and batch.variance is variance:
                return batch(variance_epsilon, scale, offset)
        return original(x, mean, variance, offset, scale, variance_epsilon, name)

    return batch_normalization


def _bias_add(original):
    @functools.wraps(original)
    def bias_add(value, bias, data_format=None, name=None):
        images = tf.is_tensor(value) and value.shape.rank == 4
        if _thread.scope is not None and images and not str(data_format).startswith("NC"):
            return add_bias(value, bias, original)
        return original(value, bias, data_format, name)

    return bias_add


def _stop_gradient(original):
    def stop_gradient(input, name=None):
        return input if _thread.scope is not None else original(input, name=name)

    return stop_gradient


def _example_mean(original):
    def reduce_mean(input_tensor, axis=None, keepdims=False, name=None):
        weights = _thread.scope.example_weights if _thread.scope is not None else None
        axes = _static_axes(axis, input_tensor.shape.rank) if weights is not None else ()
        if weights is None or 0 not in axes:
            return original(input_tensor, axis, keepdims=keepdims, name=name)
        if input_tensor.shape[0] != weights.shape[0]:
            raise ValueError(
                "Example weights need every batch statistic to run over the examples themselves. "
                f"Received: a statistic over {input_tensor.shape[0]} rows for {weights.shape[0]} "
                "examples. Pass tasks without weights through this network."
            )
        present = tf.cast(tf.not_equal(weights, 0), input_tensor.dtype)
        shape = [-1] + [1] * (input_tensor.shape.rank - 1)
        others = [a for a in axes if a != 0]
        means = original(input_tensor, others, keepdims=True) if others else input_tensor
        mean = tf.math.divide_no_nan(
            tf.reduce_sum(means * tf.reshape(present, shape), axis=0, keepdims=True),
            tf.reduce_sum(present),
        )
        return mean if keepdims else tf.squeeze(mean, axes)

    return reduce_mean


def _static_axes(axis, rank):
    static = tf.get_static_value(axis) if tf.is_tensor(axis) else axis
    if static is None:
        return tuple(range(rank)) if axis is None else ()
    values = [static] if isinstance(static, int) else list(static)
    return tuple(int(value) % rank for value in values)


def _max_pool(original):
    def max_pool(input, ksize, strides, padding, *args, **kwargs):
        scope = _thread.scope
        channels_first = str(kwargs.get("data_format")).startswith("NC")
        if scope is not None and (scope.xla or keeps_shape(ksize, strides, padding)):
            return exact_max_pool(input, ksize, strides, padding, channels_first=channels_first)
        if scope is not None and has_tiles(
            input, ksize, strides, padding, channels_first=channels_first
        ):
            return tiled_max_pool(input, ksize)
        return original(input, ksize, strides, padding, *args, **kwargs)

    return max_pool


class Replaced(NamedTuple):
    """A function of TensorFlow and what stands in for it.

    Attributes:
        owner: the module whose callers get the stand-in.
        within: name of a module that `owner` looks the function up in, so that only `owner` sees
            the stand-in; "" for a function of `owner` itself.
        name: of the function.
        stand_in: function of the original to the stand-in, which acts differently only inside
            `exact_derivatives()`.
        reason: why the original does not do.
    """

    owner: types.ModuleType
    within: str
    name: str
    stand_in: Callable[[Callable], Callable]
    reason: str

    def install(self) -> None:
        """Puts the stand-in in place."""
        module = getattr(self.owner, self.within) if self.within else self.owner
        stand_in = self.stand_in(getattr(module, self.name))
        if not self.within or isinstance(module, _StandIn):
            setattr(module, self.name, stand_in)
        else:
            setattr(self.owner, self.within, _StandIn(module, **{self.name: stand_in}))


# All that is replaced in TensorFlow, in this order: the last one's presence says that all are.
REPLACED = (
    Replaced(
        nn_impl,
        "",
        "moments",
        _moments,
        "Its gradient stops at the mean inside the variance: wrong from the second order on.",
    ),
    # Keras looks these two up by their public names.
    Replaced(
        tf.nn,
        "",
        "batch_normalization",
        _batch_normalization,
        "With its own batch's moments it is one operation of few passes over the data.",
    ),
    Replaced(
        tf.nn,
        "",
        "bias_add",
        _bias_add,
        "oneDNN computes the gradients of bias and kernel together, slowly.",
    ),
    Replaced(
        nn_impl,
        "math_ops",
        "reduce_mean",
        _example_mean,
        "A statistic of the batch counts examples of weight 0, which are absent.",
    ),
    Replaced(
        nn_ops,
        "gen_nn_ops",
        "max_pool",
        _max_pool,
        "Its second derivative is wrong where output and input have one shape, and under XLA.",
    ),
    Replaced(
        nn_ops,
        "gen_nn_ops",
        "max_pool3d",
        _max_pool,
        "As of `max_pool`.",
    ),
    # In nn_impl only `moments`, and sampled softmax, which is no layer's, stop gradients.
    Replaced(
        nn_impl,
        "array_ops",
        "stop_gradient",
        _stop_gradient,
        "Moments that the stand-in leaves to TensorFlow, as of weighted examples, need the term.",
    ),
)
