"""Layers that draw random numbers are silent unless `dropout=True`, whatever they are called."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops, random

import tfmeta
from tests.conformance import registry
from tests.keras_contract.networks import MODES, around, fitted
from tests.marks import marked

OUTSIDE = random.SeedGenerator(11)


class SkipPath(layers.Layer):
    """Stochastic depth with a generator of its own; neither name is one that Keras uses."""

    def __init__(self, survival=0.5, **options):
        super().__init__(**options)
        self.survival, self.coin = survival, random.SeedGenerator(5)

    def call(self, x, training=None):
        if not training:
            return x
        kept = random.uniform((ops.shape(x)[0], 1), seed=self.coin) < self.survival
        return ops.where(kept, x / self.survival, ops.zeros_like(x))


class Unseeded(layers.Layer):
    """Draws from Keras' global seed generator."""

    def call(self, x, training=False):
        return random.dropout(x, 0.5) if training else x


class Unkeyed(layers.Layer):
    """Draws from TensorFlow's own generator."""

    def call(self, x, training=False):
        return x + tf.random.normal(tf.shape(x), dtype=x.dtype) if training else x


class Block(layers.Layer):
    """Hides a noise layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.paths = [SkipPath(dtype=self.dtype_policy)]

    def call(self, x):
        return self.paths[0](x)


class NoisyNormalization(layers.Layer):
    """Normalises and draws in one call, which passes `training` on to the normalisation."""

    def __init__(self, noise=True, **options):
        super().__init__(**options)
        self.noise = noise
        self.norm = layers.BatchNormalization(dtype=self.dtype_policy)

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x, training=False):
        x = self.norm(x, training=training)
        return random.dropout(x, 0.5) if training and self.noise else x


class OneState(layers.Layer):
    """Keeps a mean and draws in one call."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if not training:
            return x - self.mean
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=0))
        return random.dropout(x, 0.5)


class Always(layers.Layer):
    """Draws outside training too."""

    def call(self, x):
        return x + random.normal(ops.shape(x), dtype=x.dtype)


def functions_with_noise(seed=None):
    return layers.Lambda(
        lambda x, training=False: random.dropout(x, 0.5, seed=seed) if training else x,
        dtype="float64",
    )


UNKEYED = "TensorFlow's generator"
NOISE = {
    "own generator": SkipPath,
    "global generator": Unseeded,
    UNKEYED: Unkeyed,
    "inside a layer": Block,
    "Keras' own": lambda **o: layers.GaussianNoise(1.0, **o),
    "a function": lambda **_: functions_with_noise(),
    "a generator elsewhere": lambda **_: functions_with_noise(OUTSIDE),
}


def noisy(name):
    return NOISE[name](dtype="float64")


def compiled(network, **options):
    learner = tfmeta.MAML(network, inner_rate=0.1, parallel="sequential", **options)
    learner.compile("sgd", "mse", run_eagerly=True)
    return learner


@pytest.mark.parametrize("name", NOISE)
def test_a_silent_network_is_found_by_what_its_layers_draw(name):
    study = tfmeta.inner.PureNetwork(around(noisy(name))).study
    assert len(study.noisy) == 1
    assert not study.problems


@pytest.mark.parametrize(
    ("name", "mode"),
    marked(
        dict.fromkeys(
            [
                *(("global generator", mode) for mode in MODES),
                *zip(NOISE, itertools.cycle(MODES[::-1]), strict=False),
            ]
        ),
        [("global generator", "transductive")],
    ),
)
def test_answers_are_those_of_the_network_without_noise(name, mode):
    x, _ = registry.batch()
    answers = [
        compiled(around(*some), normalization=mode).predict(x, verbose=0)
        for some in ([noisy(name)], [])
    ]
    np.testing.assert_allclose(*answers, rtol=1e-12)
    unadapted = compiled(network := around(noisy(name)), normalization=mode, inner_steps=0)
    np.testing.assert_allclose(
        unadapted.predict(x, verbose=0)[0], network.predict(x[2][0], verbose=0), rtol=1e-6
    )


# Every manner of calling the network: statistics a step, samples, embeddings, a joint head.
CALLING = [
    *("maml_plus_plus", "reptile", "platipus", "bmaml", "matching_network", "fine_tuning"),
    *("unicorn_maml", "r2d2", "alfa"),
]


@pytest.mark.parametrize("name", marked(["maml", *CALLING], ["maml"]))
def test_every_learner_trains_as_without_noise(name):
    entry = registry.LEARNERS[name]
    quicker = {"parallel": "sequential", "compile_options": {"run_eagerly": True}}
    weights, answers = [], []
    for some in ([Unseeded(dtype="float64")], []):
        learner, (x, _) = fitted(entry, around(*some), **({} if name == "maml" else quicker))
        weights.append([np.array(v) for v in learner.parameter_variables])
        answers.append(learner.predict(x, verbose=0))
    for noise, silence in zip(*weights, strict=True):
        np.testing.assert_allclose(noise, silence, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(*answers, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["transductive", pytest.param("running", marks=pytest.mark.slow)])
def test_a_layer_that_normalises_and_draws_normalises_on(mode):
    x, y = registry.batch()
    found = []
    for noise in (True, False):
        network = around(NoisyNormalization(noise, dtype="float64"))
        learner = compiled(network, normalization=mode)
        learner.train_on_batch(x, y)
        found.append([learner.predict(x, verbose=0), *map(np.array, network.weights)])
    for noise, silence in zip(*found, strict=True):
        np.testing.assert_allclose(noise, silence, rtol=1e-9)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (OneState, "'one_state.*' .* Make two layers of it"),
        (Always, "'always.*' .*outside training"),
    ],
)
def test_what_cannot_be_silenced_is_refused_by_name(layer, said):
    with pytest.raises(ValueError, match=said):
        compiled(around(layer(dtype="float64")))


def test_numbers_of_a_fixed_seed_that_inference_draws_too_are_no_noise():
    features = layers.Lambda(
        lambda x: x @ tf.random.stateless_normal([4, 4], [1, 2], dtype=x.dtype), dtype="float64"
    )
    assert not tfmeta.inner.PureNetwork(around(features)).study.noisy


@pytest.mark.parametrize(
    "name",
    marked([name for name in NOISE if name != "TensorFlow's generator"], ["global generator"]),
)
def test_masks_are_functions_of_the_seed_and_alike_for_answers(name):
    (sx, sy, _), _ = registry.batch(tasks=1)
    same = np.repeat(sx, 2, axis=0), np.repeat(sy, 2, axis=0)  # Two tasks of the same examples.

    def kernels(seed):
        learner = compiled(around(noisy(name)), dropout=True, seed=seed)
        return learner.task_weights(*same)[0].numpy()

    first = kernels(seed=0)
    np.testing.assert_array_equal(first, kernels(seed=0))
    # Every task that is answered has the key of task 0, whatever its place in a batch.
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.allclose(first, kernels(seed=1))


def test_noise_that_no_key_reaches_is_refused_where_it_is_asked_for():
    with pytest.raises(ValueError, match=r"'unkeyed.*' .*draws from TensorFlow's own generator"):
        compiled(around(Unkeyed(dtype="float64")), dropout=True)


@pytest.mark.slow
def test_kerass_own_stochastic_depth_is_silent():
    from keras.src.applications.convnext import StochasticDepth

    x, _ = registry.batch(dtype="float32")
    for mode in MODES:
        answers = [
            compiled(around(*some, dtype="float32"), normalization=mode).predict(x, verbose=0)
            for some in ([StochasticDepth(0.5)], [])
        ]
        np.testing.assert_array_equal(*answers)
