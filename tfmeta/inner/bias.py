"""Biases of images, whose gradient stays an operation of its own, or none.

On CPU oneDNN takes TensorFlow's together with the gradient of the convolution's kernel, which
then takes up to twice as long: with three channels in, 24 ms in place of 13, where the sum alone
takes 4 (75 images of 84 x 84, 32 filters, one core).

What arrives from batch normalisation by the batch's own moments sums to 0: a shift of all inputs
changes nothing. There the gradient is the 0 that it is, in place of a sum that rounding alone
keeps from 0.
"""

import tensorflow as tf

from tfmeta.inner.batch_kernels import totals
from tfmeta.inner.recorded import recorded

_CENTRED = "_tfmeta_centred"


def add_bias(images, bias, add):
    """Adds `bias` [C] to `images` [N, height, width, C] by `add`, which is TensorFlow's."""
    # A Keras variable becomes a tensor on a tape that may watch it.
    bias = tf.convert_to_tensor(bias, images.dtype)

    def gradient(upstream):
        centred = getattr(upstream, _CENTRED, False)
        return [upstream, tf.zeros_like(bias) if centred else totals(upstream)]

    (outputs,) = recorded("BiasAdd", lambda: [add(images, bias)], gradient, [images, bias])
    return outputs


def mark_centred(gradient):
    """Notes that `gradient` [..., C] sums to 0 over all axes but the last, to any order."""
    setattr(gradient, _CENTRED, True)
