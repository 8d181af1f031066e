"""The papers' networks: sizes, layers, names."""

import keras
import numpy as np
import pytest

from tfmeta import networks


def test_omniglot_network_has_the_papers_shape():
    network = networks.conv4(ways=5)
    shapes = [tuple(network.get_layer(f"conv_{i}").output.shape[1:]) for i in (1, 2, 3, 4)]
    assert shapes == [(14, 14, 64), (7, 7, 64), (4, 4, 64), (2, 2, 64)]
    assert network.get_layer("head").input.shape == (None, 64)
    assert network.output_shape == (None, 5)


def test_reptile_flattens_and_learns_a_scale():
    network = networks.conv4(head="flatten", scale=True)
    assert network.get_layer("head").input.shape == (None, 256)
    assert [w.name for w in network.get_layer("norm_1").trainable_weights] == ["gamma", "beta"]


@pytest.mark.parametrize(("padding", "features"), [("valid", 800), ("same", 1152)])
def test_mini_imagenet_network_has_the_papers_features(padding, features):
    network = networks.conv4(
        ways=5,
        image_shape=(84, 84, 3),
        filters=32,
        downsampling="max_pool",
        head="flatten",
        pool_padding=padding,
        pool_before_activation=padding == "same",
    )
    assert network.get_layer("head").input.shape == (None, features)
    names = [layer.name for layer in network.layers]
    first, second = names.index("pool_1"), names.index("activation_1")
    assert (first < second) == (padding == "same")


def test_fully_connected_networks_have_the_papers_sizes():
    assert networks.mlp().count_params() == 1 * 40 + 40 + 40 * 40 + 40 + 40 + 1
    widths = [networks.nonconv().get_layer(f"dense_{i}").units for i in (1, 2, 3, 4)]
    assert widths == [256, 128, 64, 64]


def test_a_float64_network_is_float64_from_its_input_on():
    for network in (networks.mlp(dtype="float64"), networks.conv4(filters=2, dtype="float64")):
        assert network.inputs[0].dtype == "float64"
        assert {w.dtype for w in network.weights} == {"float64"}


def test_a_saved_network_loads(tmp_path):
    network = networks.conv4(ways=3, filters=2)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert [w.path for w in loaded.weights] == [w.path for w in network.weights]


def test_unknown_options_list_the_known_ones():
    with pytest.raises(ValueError, match=r"'stride', 'max_pool'\. Received: 'pool'"):
        networks.conv4(downsampling="pool")


@pytest.mark.parametrize(
    "network",
    [
        lambda: networks.mlp(hidden=(4, 3)),
        lambda: networks.conv4(ways=3, image_shape=(8, 8, 1), filters=2),
        lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "relu", name="only")]),
    ],
)
def test_a_t_net_begins_as_its_network(network):
    network = network()
    warped = networks.t_net(network)
    x = np.random.default_rng(0).normal(size=(5, *network.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(warped(x), network(x))
    matrices = [layer for layer in warped.layers if layer.name.endswith("_warp")]
    assert len(matrices) == sum(hasattr(layer, "kernel") for layer in network.layers)


def test_a_t_nets_matrices_stand_before_activations():
    warped = networks.t_net(networks.mlp(hidden=(2,), activation="relu"))
    names = [layer.name for layer in warped.layers]
    hidden = ["hidden_1", "hidden_1_warp", "hidden_1_activation"]
    assert names == ["inputs", *hidden, "head", "head_warp"]
    for name, weights in (
        ("hidden_1", ([[1.0, -2.0]], [0.0, 0.0])),
        ("hidden_1_warp", ([[0.0, 1.0], [-1.0, 0.0]],)),
        ("head", ([[1.0], [10.0]], [0.0])),
    ):
        warped.get_layer(name).set_weights([np.float32(weight) for weight in weights])
    # x = 1: W x = (1, -2), T of it (2, 1), relu the same; relu before T would give (0, 1).
    assert float(warped(np.ones((1, 1), "float32"))[0, 0]) == 12.0


def test_a_t_net_of_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"functional or sequential.*Own"):
        networks.t_net(Own())


def test_filling_counts_in_no_mean_of_a_text():
    network = networks.text_mean(ways=3, length=4)
    short = np.array([[7, 9, 0, 0], [7, 9, 7, 9]])
    np.testing.assert_allclose(*network(short).numpy(), rtol=1e-5)


def test_windows_are_halved_block_by_block():
    network = networks.window_conv(ways=4, window_shape=(50, 6), filters=8, blocks=2)
    assert [network.get_layer(f"conv_{k}").output.shape for k in (1, 2)] == [
        (None, 25, 8),
        (None, 13, 8),
    ]
    assert network.output_shape == (None, 4)
