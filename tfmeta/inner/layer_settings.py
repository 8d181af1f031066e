"""How layers are set for one call of a network: unrolled, silent, or in training mode."""

import contextlib
import functools
import inspect
import types
from typing import Any

import keras
import tensorflow as tf

# What a recurrent cell multiplies masks by; 0 keeps their operations out of the graph.
_MASK_RATES = ("dropout", "recurrent_dropout")


@contextlib.contextmanager
def layer_settings(network, noisy=(), kept=(), *, noise, training):
    """Sets the layers of a network for one call, and then puts all back.

    Recurrent layers are unrolled, since neither cuDNN's kernels nor a `while_loop` in a
    vectorised map have the derivatives that are needed. A `call` that is a `tf.function` runs as
    the Python function that it was made of: what was traced keeps the weights of its first call.

    Args:
        network: the `keras.Model`.
        noisy: layers that draw random numbers; each runs in training mode if `noise`, else in
            inference mode.
        kept: layers that run in training mode whenever the network does, whatever a noisy layer
            around them passes on.
        noise: whether the noisy layers draw.
        training: whether the network is called in training mode.
    """
    changed: list[tuple[Any, str, Any]] = []
    replaced: dict[int, tuple[Any, Any]] = {}

    def change(layer, name, value):
        if getattr(layer, name, None) is not None and getattr(layer, name) != value:
            changed.append((layer, name, getattr(layer, name)))
            setattr(layer, name, value)

    def replace(layer, call):
        replaced.setdefault(id(layer), (layer, vars(layer).get("call")))
        layer.call = call

    try:
        for layer in network._flatten_layers():
            if isinstance(layer.call, tf.types.experimental.PolymorphicFunction):
                replace(layer, _python_function(layer.call))
            if isinstance(layer, keras.layers.RNN):
                change(layer, "unroll", True)
                change(layer, "use_cudnn", False)
                if layer.go_backwards and layer.zero_output_for_mask:
                    replace(layer, _reversing(layer, layer.call))
        for layer in noisy:
            if not noise and hasattr(layer, "recurrent_dropout"):
                for name in _MASK_RATES:
                    change(layer, name, 0.0)
            if not (noise and training):
                replace(layer, _in_mode(layer.call, noise))
        if training and not noise:
            for layer in kept:
                replace(layer, _in_mode(layer.call, True))
        yield
    finally:
        for layer, own_call in replaced.values():
            if own_call is None:
                del layer.call
            else:
                layer.call = own_call
        for layer, name, value in reversed(changed):
            setattr(layer, name, value)


def _python_function(call):
    """What a `tf.function` was made of, its control flow converted where its source is known."""
    function = call
    while isinstance(function, tf.types.experimental.PolymorphicFunction):
        function = function.python_function
    try:
        if inspect.ismethod(function):
            converted = tf.autograph.to_graph(function.__func__)
            return types.MethodType(converted, function.__self__)
        return tf.autograph.to_graph(function)
    except (OSError, TypeError, ValueError, NotImplementedError):
        return function


def _in_mode(call, mode):
    def call_in_mode(*args, training=None, **kwargs):
        return call(*args, training=mode, **kwargs)

    return call_in_mode


def _reversing(layer, call):
    """The `call` of a recurrent layer that goes backwards, by steps and masks in reversed order.

    Keras' own unrolled loop zeroes the outputs of masked steps at their places in the original
    order, as `Bidirectional` needs. Its `while_loop` zeroes those of the reversed order.
    """

    def call_reversed(sequences, initial_state=None, mask=None, **kwargs):
        if mask is None:
            return call(sequences, initial_state=initial_state, **kwargs)
        layer.go_backwards = False
        try:
            reverse = functools.partial(tf.reverse, axis=[1])
            return call(
                reverse(sequences), initial_state=initial_state, mask=reverse(mask), **kwargs
            )
        finally:
            layer.go_backwards = True

    return call_reversed
