"""How layers are set for one call of a network: unrolled, silent, or in training mode."""

import contextlib

import keras

# What a recurrent cell multiplies masks by; 0 keeps their operations out of the graph.
_MASK_RATES = ("dropout", "recurrent_dropout")


@contextlib.contextmanager
def layer_settings(network, noisy=(), kept=(), *, noise, training):
    """Sets the layers of a network for one call, and then puts all back.

    Recurrent layers are unrolled, since neither cuDNN's kernels nor a `while_loop` in a
    vectorised map have the derivatives that are needed.

    Args:
        network: the `keras.Model`.
        noisy: layers that draw random numbers; each runs in training mode if `noise`, else in
            inference mode.
        kept: layers that run in training mode whenever the network does, whatever a noisy layer
            around them passes on.
        noise: whether the noisy layers draw.
        training: whether the network is called in training mode.
    """
    changed, replaced = [], []

    def change(layer, name, value):
        if getattr(layer, name, None) is not None and getattr(layer, name) != value:
            changed.append((layer, name, getattr(layer, name)))
            setattr(layer, name, value)

    def fix(layer, mode):
        layer.call = _in_mode(layer.call, mode)
        replaced.append(layer)

    try:
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.RNN):
                change(layer, "unroll", True)
                change(layer, "use_cudnn", False)
        for layer in noisy:
            if not noise and hasattr(layer, "recurrent_dropout"):
                for name in _MASK_RATES:
                    change(layer, name, 0.0)
            if not (noise and training):
                fix(layer, noise)
        if training and not noise:
            for layer in kept:
                fix(layer, True)
        yield
    finally:
        for layer in replaced:
            del layer.call
        for layer, name, value in reversed(changed):
            setattr(layer, name, value)


def _in_mode(call, mode):
    def call_in_mode(*args, training=None, **kwargs):
        return call(*args, training=mode, **kwargs)

    return call_in_mode
