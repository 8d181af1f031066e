"""Networks of keras.applications from files of weights."""

import keras
import pytest

from tfmeta.networks.applications import application


def builder(*filters):
    """In the place of a large network's function."""

    def build(weights, include_top, input_shape):
        parts = [keras.Sequential([keras.layers.Conv2D(each, 1)]) for each in filters]
        return keras.Sequential([keras.Input(input_shape), *parts])

    return build


def test_a_file_of_another_networks_weights_is_one_error_and_no_warning(
    monkeypatch, tmp_path, recwarn
):
    file = tmp_path / "other.weights.h5"
    other = builder(4)(None, False, (8, 8, 3))
    other.save_weights(file)
    monkeypatch.setattr(keras.applications, "VGG16", builder(4, 8))
    with pytest.raises(ValueError, match=r"must hold the weights of VGG16 .*other\.weights\.h5: "):
        application("VGG16", str(file), 8)
    assert not [each for each in recwarn if "nested container" in str(each.message)]
    monkeypatch.setattr(keras.applications, "VGG16", builder(4))
    loaded = application("VGG16", str(file), 8)
    assert (loaded.get_weights()[0] == other.get_weights()[0]).all()
