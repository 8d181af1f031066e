"""No public learner is missing from the registry, and what the registry says of one is true."""

import inspect

import keras
import numpy as np
import pytest

import tfmeta
from tests.conformance import registry
from tfmeta.learners.probabilistic.llama import SamplesAroundMode


def public_learners():
    """Public classes of learners, without their public base classes."""
    classes = [
        value
        for module in (tfmeta, tfmeta.learners)
        for value in (getattr(module, name) for name in module.__all__)
        if inspect.isclass(value) and issubclass(value, tfmeta.MetaLearner)
    ]
    return {value for value in classes if value is not tfmeta.MetaLearner}


STEPPING = (tfmeta.parts.GradientDescent, SamplesAroundMode)


def headless_network():
    """A network that ends in an activation, behind its last dense layer."""
    layers = [keras.Input((registry.INPUTS,)), keras.layers.Dense(3, name="head")]
    return keras.Sequential([*layers, keras.layers.Softmax(name="softmax")])


def refuses(entry, network):
    """Whether a learner refuses a network for its last layer."""
    try:
        entry.cls(network, **entry.settings)
    except ValueError as error:
        return "must end in a dense layer" in str(error)
    return False


def test_every_public_learner_is_registered():
    assert public_learners() == {entry.cls for entry in registry.LEARNERS.values()}


def test_one_entry_of_a_class_is_no_variant():
    first = [entry.cls for entry in registry.LEARNERS.values() if not entry.variant]
    assert len(first) == len(set(first)) == len(public_learners())


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_traits_of_parameters_state_and_samples_are_true(name):
    entry = registry.LEARNERS[name]
    learner = entry.compiled()
    network = learner.network
    own = {id(v) for v in learner.parameter_variables} - {id(v) for v in network.variables}
    assert bool(own) == entry.own_parameters
    state = {id(v) for v in learner.state_variables} - {id(v) for v in network.variables}
    assert bool(state) == entry.own_state
    assert hasattr(learner, "predictive") == entry.samples
    assert isinstance(learner.adaptation, STEPPING) == entry.gradient_steps
    assert refuses(entry, headless_network()) == entry.embedding
    assert entry.compiled("classification").any_ways == entry.any_ways
    assert learner.training_ways == (registry.CLASSES if entry.joint else registry.OUTPUTS)


@pytest.mark.parametrize("name", registry.some(quick=("maml", "reptile", "fine_tuning"), slow=()))
def test_a_batch_of_its_kind_trains_every_learner(name):
    entry = registry.LEARNERS[name]
    learner = entry.compiled(parallel="sequential", fit={"run_eagerly": True})
    gradient, _ = learner.meta_gradient(*entry.batch(tasks=1))
    assert all(np.isfinite(g).all() for g in gradient)
    assert any(np.any(g != 0) for g in gradient)


def test_learners_are_chosen_by_traits_and_others_than_the_quick_ones_are_slow():
    chosen = registry.some(quick=("bfa",), samples=True, variant=False)
    assert chosen[1] == "bfa"
    assert [p.values[0] for p in chosen if p != "bfa"] == ["bmaml", "platipus", "llama"]
    with pytest.raises(ValueError, match="maml"):
        registry.some(quick=("maml",), samples=True)
