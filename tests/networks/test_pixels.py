"""Pixels as the networks of keras.applications want them, and pixels of another range."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmeta.networks import Pixels

PREPROCESS = {
    "caffe": keras.applications.resnet50.preprocess_input,
    "tf": keras.applications.mobilenet_v2.preprocess_input,
    "torch": keras.applications.densenet.preprocess_input,
    "none": keras.applications.mobilenet_v3.preprocess_input,
}


def images(largest=255.0):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype("float32")
    return pixels * (largest / 255)


@pytest.mark.parametrize("convention", PREPROCESS)
@pytest.mark.parametrize("largest", [1, 255])
def test_a_convention_gives_what_keras_gives(convention, largest):
    expected = PREPROCESS[convention](images().copy())
    layer = Pixels((0, largest), convention)
    np.testing.assert_allclose(layer(images(largest)), expected, rtol=1e-5, atol=2e-5)
    again = Pixels.from_config(layer.get_config())
    np.testing.assert_array_equal(again(images(largest)), layer(images(largest)))


@pytest.mark.parametrize(
    ("pixel_range", "pixels"),
    [
        ((0, 1), images()),
        ((0, 1), 2 * images(1) - 1),
        ((0, 255), images(1)),
        ((0, 255), images() - 128),
        ((0, 1), np.full((1, 2, 2, 3), np.nan, "float32")),
    ],
)
def test_pixels_of_another_range_are_refused_in_and_out_of_a_graph(pixel_range, pixels):
    layer = Pixels(pixel_range)
    for call in (layer, tf.function(layer)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"from 0 to {pixel_range[1]} "):
            call(tf.constant(pixels))


def test_black_images_no_images_and_overshoot_are_not_refused():
    black = np.zeros((1, 2, 2, 3), "float32")
    for pixel_range in ((0, 1), (0, 255)):
        for pixels in (black, black[:0], black + 1.05 * pixel_range[1]):
            assert Pixels(pixel_range)(pixels).shape == pixels.shape


def test_unknown_ranges_and_conventions_are_refused():
    with pytest.raises(ValueError, match=r"pixel_range must be .* Received: \(-1, 1\)"):
        Pixels((-1, 1))
    with pytest.raises(ValueError, match=r"convention must be one of 'caffe'.*Received: 'keras'"):
        Pixels((0, 1), "keras")
