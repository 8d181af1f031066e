"""Lists, tuples and dicts of inputs, nested too, from `fit` to the names of a signature."""

import keras
import numpy as np
import pytest
from keras import layers

import tfmeta
from tests.keras_contract.serving import LABELS, assert_served_as_trained, learner_of
from tests.marks import marked

EXAMPLES = np.random.default_rng(0).normal(size=(1, 6, 7)).astype("float32")
STRUCTURES = {
    "list": lambda a, b, c: [a, b, c],
    "tuple": lambda a, b, c: (a, b, c),
    "dict": lambda a, b, c: {"z": a, "y": b, "x": c},
    "nested": lambda a, b, c: {"wide": a, "narrow": [b, c]},
    "list of dicts": lambda a, b, c: [{"a": a, "b": b}, c],
}
NAMES = {
    "list": {"0", "1", "2"},
    "tuple": {"0", "1", "2"},
    "dict": {"z", "y", "x"},
    "nested": {"wide", "narrow_0", "narrow_1"},
    "list of dicts": {"0_a", "0_b", "1"},
}


def network_of(structure):
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((size,)) for size in (4, 2, 1)]
    outputs = layers.Dense(3)(layers.Concatenate()(inputs))
    return keras.Model(structure(*inputs), outputs)


def examples_of(structure, examples):
    return structure(examples[..., :4], examples[..., 4:6], examples[..., 6:])


@pytest.mark.parametrize("name", marked(STRUCTURES, [], ["dict", "nested", "list of dicts"]))
def test_a_structure_of_inputs_is_served_as_trained(name, tmp_path):
    parts = [examples_of(STRUCTURES[name], part) for part in (EXAMPLES[:, :3], EXAMPLES[:, 3:])]
    assert_served_as_trained(network_of(STRUCTURES[name]), *parts, tmp_path)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_signature_names_inputs_by_keys_and_positions(name):
    servable = learner_of(network_of(STRUCTURES[name])).servable()
    assert {suffix[1:] for suffix in servable.named_inputs} == NAMES[name]


@pytest.mark.parametrize("name", ["list", "nested"])
def test_a_structure_of_inputs_trains_as_one_array(name):
    plain = keras.Sequential([keras.Input((7,)), layers.Dense(3)])
    network = network_of(STRUCTURES[name])
    plain.set_weights(network.get_weights())
    support, query = EXAMPLES[:, :3], EXAMPLES[:, 3:]
    parts = [examples_of(STRUCTURES[name], part) for part in (support, query)]
    gradients = [
        learner_of(model).meta_gradient((one, LABELS, other), LABELS)[0]
        for model, one, other in ((plain, support, query), (network, *parts))
    ]
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_two_inputs_of_one_name_are_refused_at_export():
    structure = lambda a, b, c: {"a_0": a, "a": [b, c]}  # noqa: E731
    with pytest.raises(ValueError, match="each needs a name of its own"):
        learner_of(network_of(structure)).servable()


def test_the_number_of_parts_is_checked():
    learner = learner_of(network_of(STRUCTURES["list"]))
    assert isinstance(learner, tfmeta.MAML)
    with pytest.raises(ValueError, match="as many parts as the network has inputs, 3"):
        learner.predict(([EXAMPLES[:, :3, :4]], LABELS, [EXAMPLES[:, 3:, :4]]), verbose=0)
