"""Choosing weights by patterns."""

import keras
import pytest

import tfmeta
from tfmeta.inner import by_pattern, patterns_of, select

PATHS = ["conv_1/kernel", "norm_1/beta", "head/kernel", "head/bias"]


def test_patterns_choose_and_leave_out():
    assert select(PATHS, None, argument="adapted") == [0, 1, 2, 3]
    assert select(PATHS, "head/*", argument="adapted") == [2, 3]
    assert select(PATHS, ["!norm_*"], argument="adapted") == [0, 2, 3]
    assert select(PATHS, ["head/*", "!*/bias"], argument="adapted") == [2]


def test_a_pattern_that_matches_nothing_lists_the_paths():
    with pytest.raises(ValueError, match=r"'dense/\*'.*conv_1/kernel, norm_1/beta, head/kernel"):
        select(PATHS, "dense/*", argument="adapted")
    with pytest.raises(ValueError, match="must leave some weights"):
        select(PATHS, ["head/*", "!head/*"], argument="adapted")


def test_the_first_pattern_that_matches_gives_the_value():
    assert by_pattern(PATHS, 0.1, argument="inner_rate") == [0.1] * 4
    values = by_pattern(PATHS, {"head/bias": 1, "head/*": 2, "*": 3}, argument="inner_rate")
    assert values == [3, 3, 2, 1]


def test_a_weight_without_a_value_is_named():
    with pytest.raises(ValueError, match="Received none for: conv_1/kernel"):
        by_pattern(PATHS, {"head/*": 2}, argument="inner_rate")


def test_layers_choose_their_trainable_weights_beside_patterns():
    inputs = keras.Input((2,))
    first = keras.layers.Dense(3, name="first[1]")
    outputs = keras.layers.Dense(1, name="head")(first(inputs))
    network = keras.Model(inputs, outputs)
    patterns = patterns_of(network, [first, "head/bias"], argument="adapted")
    paths = ["first[1]/kernel", "first[1]/bias", "head/kernel", "head/bias"]
    assert select(paths, patterns, argument="adapted") == [0, 1, 3]
    assert patterns_of(network, "head/*", argument="adapted") == ["head/*"]
    assert patterns_of(network, None, argument="adapted") is None
    learner = tfmeta.MAML(network, adapted=first)
    assert learner.adapted_paths == paths[:2]
    again = tfmeta.MAML.from_config(learner.get_config())
    assert again.adapted_paths == paths[:2]


def test_layers_that_cannot_adapt_are_refused():
    inputs = keras.Input((2,))
    frozen = keras.layers.Dense(2, name="frozen", trainable=False)
    twin = keras.layers.Dense(2, name="twin")
    outputs = twin(frozen(inputs))
    network = keras.Model(inputs, outputs)
    for layer, said in (
        (keras.layers.Dense(2, name="foreign"), "must be a layer of the network.*'foreign'"),
        (frozen, "must have weights that train. Received: 'frozen'"),
    ):
        with pytest.raises(ValueError, match=said):
            patterns_of(network, [layer], argument="adapted")
    other_inputs = keras.Input((2,))
    nested = keras.Model(other_inputs, keras.layers.Dense(2, name="twin")(other_inputs))
    shared = keras.Model(inputs, nested(outputs))
    with pytest.raises(ValueError, match="which shares twin/kernel"):
        patterns_of(shared, [twin], argument="adapted")
