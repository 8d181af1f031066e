"""What is changed after a learner was made is refused by name, or holds: never half of it."""

import keras
import numpy as np
import pytest
from keras import layers

import tfmeta

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def network_of(*hidden):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(2, name="head")])


def compiled(learner):
    learner.compile("sgd", "mse")
    return learner


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inner_steps", 5),
        ("test_inner_steps", 5),
        ("network", None),
        ("adapted", ["head/*"]),
        ("normalization", "running"),
        ("first_order", True),
    ],
)
@pytest.mark.parametrize("prepare", [lambda learner: learner, compiled])
def test_an_argument_keeps_its_value(name, value, prepare):
    learner = prepare(tfmeta.MAML(network_of(), inner_rate=0.1))
    setattr(learner, name, getattr(learner, name))
    with pytest.raises(AttributeError, match=rf"Received: learner\.{name} = .* Make a new one"):
        setattr(learner, name, network_of() if name == "network" else value)


def test_a_learner_of_your_own_may_change_what_it_adds():
    class Own(tfmeta.MAML):
        def __init__(self, network, extra, **options):
            super().__init__(network, **options)
            self.extra = extra

    learner = compiled(Own(network_of(), extra=1))
    learner.extra = 2
    with pytest.raises(AttributeError, match=r"learner\.inner_optimizer"):
        learner.inner_optimizer = "adam"
    # It passes patterns of its own to its base, and then keeps those of its caller.
    plus = tfmeta.MAMLPlusPlus(network_of(layers.BatchNormalization()), adapted="head/*")
    assert plus.adapted == ["head/*"]
    with pytest.raises(AttributeError, match=r"learner\.adapted"):
        plus.adapted = None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda network: network.add(layers.Dropout(0.5, name="late")), "late"),
        (lambda network: network.pop(), "last"),
        (lambda network: setattr(network.get_layer("norm"), "trainable", False), "norm"),
    ],
)
def test_layers_that_came_went_or_froze_are_named(change, named):
    keras.utils.set_random_seed(1)
    norm = layers.BatchNormalization(center=False, scale=False, name="norm")
    network = keras.Sequential([keras.Input((3,)), layers.Dense(2), norm, layers.ReLU(name="last")])
    learner = compiled(tfmeta.MAML(network))
    change(network)
    for call in (lambda: learner.adapt(X, X[:, :2]), lambda: compiled(learner)):
        with pytest.raises(ValueError, match=rf"changed since: {named}\. Change the network"):
            call()


class OwnStep(keras.Sequential):
    def train_step(self, data):
        raise AssertionError

    def compute_loss(self, *arguments, **options):
        raise AssertionError


def test_a_networks_own_training_is_said_not_to_count():
    network = OwnStep([keras.Input((3,)), layers.Dense(2)])
    with pytest.warns(UserWarning, match="not by train_step, compute_loss of OwnStep"):
        learner = tfmeta.MAML(network)
    with pytest.raises(TypeError, match="Received: MAML, a learner"):
        tfmeta.MAML(learner)


class OwnCall(keras.Sequential):
    def __call__(self, *arguments, **options):
        return 2 * super().__call__(*arguments, **options)


def test_a_network_that_is_called_past_its_call_is_refused():
    with pytest.raises(ValueError, match=r"OwnCall, which defines `__call__`\. Define `call`"):
        tfmeta.MAML(OwnCall([keras.Input((3,)), layers.Dense(2)]))


def test_layers_whose_calls_or_weights_keras_changes_are_refused_by_name():
    with keras.RematScope(mode="full"):
        hidden = layers.Dense(2, name="again")
    with pytest.raises(ValueError, match=r"in such a scope: again\. .*rematerialize=True"):
        tfmeta.MAML(network_of(hidden))
    in_float8 = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="eighth")])
    with pytest.warns(UserWarning, match="InputLayer"):
        in_float8.quantize("float8")
    with pytest.raises(ValueError, match=r"new values.*eighth/inputs_scale"):
        tfmeta.MAML(in_float8)


def test_what_is_quantized_is_the_network():
    learner = compiled(tfmeta.MAML(network_of(), inner_rate=0.1))
    kernel = learner.network.layers[-1].kernel
    for model in (learner, learner.adapt(X, X[:, :2])):
        with pytest.raises(ValueError, match="Received: quantize of"):
            model.quantize("int8")
    assert learner.network.layers[-1].kernel is kernel
    learner.train_on_batch(
        (X[np.newaxis], X[np.newaxis, :, :2], X[np.newaxis]), X[np.newaxis, :, :2]
    )
