"""Images as a pretrained network was trained on them, from pixels whose range is checked."""

from typing import Any

import keras
import tensorflow as tf

# How the networks of keras.applications were trained to see pixels 0..255 of RGB images:
# (whether the channels are reversed, mean of each channel, divisor of each channel).
CONVENTIONS = {
    "caffe": (True, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (False, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "torch": (
        False,
        tuple(255 * mean for mean in (0.485, 0.456, 0.406)),
        tuple(255 * deviation for deviation in (0.229, 0.224, 0.225)),
    ),
    "none": (False, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
RANGES = ((0, 1), (0, 255))
_TOLERANCE = 0.1  # of the range: what resizing with a sharp filter may overshoot


@keras.saving.register_keras_serializable("tfmeta")
class Pixels(keras.layers.Layer):
    """Scales pixels of a declared range to what a pretrained network expects, and checks the range.

    A network that was trained on pixels 0..255 gives meaningless features for pixels 0..1, and
    nothing shows it. So this layer fails when the pixels of a batch cannot be of the declared
    range: when one lies more than a tenth of the range outside it, or when all pixels of a batch
    that should be 0..255 are at most 1. (Compiled by XLA, a graph does not check.)

    Example:
        >>> import numpy as np
        >>> from tfmeta.networks import Pixels
        >>> layer = Pixels((0, 1), "tf")
        >>> print(layer(np.full((1, 1, 1, 3), 0.5, "float32")).numpy().ravel())
        [0. 0. 0.]

    Args:
        pixel_range: (0, 1) or (0, 255): what images the layer is called with.
        convention: "caffe" (blue, green, red; less ImageNet's mean), "tf" (-1 .. 1), "torch"
            (less ImageNet's mean, by its standard deviation) or "none" (0 .. 255).
        **options: of `keras.layers.Layer`.

    Raises:
        ValueError: for another range or convention.
        tensorflow.errors.InvalidArgumentError: when called, for pixels outside the range; a
            learner raises it as a ValueError.
    """

    def __init__(
        self, pixel_range: tuple[int, int] = (0, 1), convention: str = "none", **options: Any
    ) -> None:
        super().__init__(**options)
        check_range(pixel_range)
        if convention not in CONVENTIONS:
            raise ValueError(
                f"convention must be one of {', '.join(map(repr, CONVENTIONS))}. "
                f"Received: {convention!r}."
            )
        self.pixel_range = tuple(pixel_range)
        self.convention = convention

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels] as the network expects them."""
        images = self._checked(images)
        to_bytes = 255 / self.pixel_range[1]
        if self.convention == "none":
            return images * tf.cast(to_bytes, images.dtype)
        reverse, means, divisors = CONVENTIONS[self.convention]
        images = tf.reverse(images, axis=[-1]) if reverse else images
        scale = [to_bytes / divisor for divisor in divisors]
        offset = [mean / divisor for mean, divisor in zip(means, divisors, strict=True)]
        return images * tf.constant(scale, images.dtype) - tf.constant(offset, images.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the images."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `keras.saving`."""
        own = {"pixel_range": self.pixel_range, "convention": self.convention}
        return {**super().get_config(), **own}

    def _checked(self, images):
        low, high = self.pixel_range
        least, largest = tf.reduce_min(images), tf.reduce_max(images)
        margin = _TOLERANCE * (high - low)
        good = (least >= low - margin) & (largest <= high + margin)
        if high == 255:
            good &= (largest > 1) | (largest <= 0)
        message = (
            f"The network takes pixels from {low} to {high} (pixel_range). Scale the images, or "
            "build the network with the other pixel_range. Received pixels from, to:"
        )
        # An empty set is in every range.
        good |= tf.equal(tf.size(images), 0)
        assertion = tf.debugging.Assert(good, [message, least, largest])
        with tf.control_dependencies([assertion] if assertion is not None else []):
            return tf.identity(images)


def check_range(pixel_range) -> None:
    """Raises a ValueError unless a range of pixels is known."""
    if tuple(pixel_range) not in RANGES:
        raise ValueError(
            f"pixel_range must be (0, 1) or (0, 255). Received: {pixel_range!r}. The streams of "
            "tfmeta.tasks give pixels from 0 to 1."
        )
