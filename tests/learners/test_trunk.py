"""Learners that compute the trunk once give what they give without a trunk, to rounding."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.conformance import registry
from tfmeta.learners.core.gradient_descent import FixedRates, GradientDescent, PlainGradient
from tfmeta.tasks.task import Examples, Task

SHAPE = (4, 4, 2)
HEAD = "head/*"


def network(activity="l2", **options):
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input(SHAPE),
        keras.layers.Conv2D(3, 3, activation="tanh", activity_regularizer=activity, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(3, name="head", **options),
    ]
    return keras.Sequential(
        [layer if i == 0 else _float64(layer) for i, layer in enumerate(layers)]
    )


def _float64(layer):
    return type(layer).from_config({**layer.get_config(), "dtype": "float64"})


def compiled(learner):
    learner.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return learner


def without_trunk(learner):
    """The learner, which computes everything at each step from now on."""
    learner.task_network = dataclasses.replace(learner.task_network, trunk=None)
    learner.task_functions = dataclasses.replace(
        learner.task_functions, network=learner.task_network
    )
    learner.compiled_functions = {}
    return learner


def tasks(count=2, weighted=False):
    rng = np.random.default_rng(0)
    support_x, query_x = (rng.normal(size=(count, n, *SHAPE)) for n in (6, 4))
    support_y, query_y = (rng.integers(3, size=(count, n)) for n in (6, 4))
    if not weighted:
        return (support_x, support_y, query_x), query_y, None
    # The last examples are absent.
    support_w, query_w = (np.ones((count, n)) for n in (6, 4))
    support_w[:, -2:] = query_w[:, -1:] = 0.0
    return (support_x, support_y, query_x, support_w), query_y, query_w


def one_task(weighted=False):
    (support_x, support_y, query_x, *support_w), query_y, query_w = tasks(1, weighted)
    support = [support_x, support_y, *(support_w or [None])]
    query = [query_x, query_y, query_w]
    return Task(
        *(
            Examples(*(None if value is None else tf.constant(value[0]) for value in examples))
            for examples in (support, query)
        )
    )


def contribution(learner, task):
    """(gradient, query outputs, state, loss) of a task."""
    parameters = [tf.convert_to_tensor(v) for v in learner.parameter_variables]
    state = [tf.convert_to_tensor(v) for v in learner.state_variables]
    found = learner.task_gradient(parameters, task, state, tf.constant([0, 3]))
    return [*found.gradient, found.query_outputs, *found.state, found.logs["loss"]]


def assert_equal(first, second):
    scale = max(float(np.max(np.abs(b), initial=0.0)) for b in second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * max(1.0, scale))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalization", ["transductive", "inductive", "running"])
def test_a_task_contributes_what_it_does_without_a_trunk(normalization, weighted):
    learner = compiled(
        tfmeta.MAML(
            network(), 0.3, 3, adapted=HEAD, normalization=normalization, parallel="sequential"
        )
    )
    assert learner.trunk_layers == ["conv", "norm", "flat"]
    task = one_task(weighted)
    found = contribution(learner, task)
    assert_equal(found, contribution(without_trunk(learner), task))


def test_the_initialisation_of_the_trunk_learns_as_finite_differences_say():
    learner = compiled(tfmeta.MAML(network(), 0.3, 3, adapted=HEAD))
    task, key = one_task(), tf.constant([0, 3])
    weights = [tf.convert_to_tensor(v) for v in learner.parameter_variables]
    state = [tf.convert_to_tensor(v) for v in learner.state_variables]
    gradient = learner.task_gradient(weights, task, state, key).gradient
    rng = np.random.default_rng(0)
    # Of the trunk's weights alone: through support set and query set.
    direction = [
        tf.constant(rng.normal(size=w.shape) * (path.split("/")[0] != "head"))
        for w, path in zip(weights, learner.parameter_paths, strict=True)
    ]
    slope = sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradient, direction, strict=True))

    def loss(step):
        moved = [w + step * d for w, d in zip(weights, direction, strict=True)]
        # Every layer of the network by itself, at every step.
        adapted = adapted_by_hand(learner, moved, task, state)
        return float(learner.query_loss(adapted, state, task)[1])

    def adapted_by_hand(learner, weights, task, state):
        weights = list(weights)
        for _ in range(3):
            with tf.GradientTape() as tape:
                tape.watch(weights[-2:])
                value = learner.task_network.set_loss(weights, state, task.support)
            for index, change in zip((-2, -1), tape.gradient(value, weights[-2:]), strict=True):
                weights[index] = weights[index] - 0.3 * change
        return weights

    for step in (1e-5, 1e-6):
        assert abs((loss(step) - loss(-step)) / (2 * step) / slope - 1) < 1e-6


@pytest.mark.parametrize("name", registry.some(quick=("platipus", "llama"), gradient_steps=True))
def test_every_learner_gives_what_it_does_without_a_trunk(name):
    entry = registry.LEARNERS[name]
    options = {} if "cavia" in name or "boil" in name else {"adapted": HEAD}
    learner = entry.compiled(**options, parallel="sequential")
    (support_x, support_y, query_x), query_y = entry.batch(tasks=1)
    task = Task(
        Examples(tf.constant(support_x[0]), tf.constant(support_y[0])),
        Examples(tf.constant(query_x[0]), tf.constant(query_y[0])),
    )
    found = contribution(learner, task)
    assert_equal(found, contribution(without_trunk(learner), task))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"parallel": "vectorized"},
        {"parallel": "sequential", "normalization": "running"},
        {"parallel": "vectorized", "rematerialize": True},
        {"parallel": "vectorized", "normalization": "inductive"},
    ],
)
def test_compiled_meta_gradients_and_curves_are_those_without_a_trunk(options):
    x, y, weights = tasks(weighted=True)
    # Absent examples would count in an activity loss, and are refused there.
    learner = compiled(tfmeta.MAML(network(activity=None), 0.3, 2, adapted=HEAD, **options))

    def results():
        gradient, outputs = learner.meta_gradient(x, y, weights)
        curve = learner.adaptation_curve(x, 11, sample_weight=weights)  # a while_loop
        return [*gradient, outputs, *curve]

    found = results()
    without_trunk(learner)
    assert_equal(found, results())


def test_convolutions_of_the_trunk_run_once_in_a_loop_of_many_steps():
    learner = compiled(tfmeta.MAML(network(), 0.3, 20, adapted=HEAD))
    task = one_task()
    values = learner.parameter_variables, learner.state_variables

    @tf.function(autograph=False)
    def adapted():
        weights, state = ([tf.convert_to_tensor(v) for v in group] for group in values)
        return learner.adapt_weights(weights, task.support, 20, state, tf.constant([0, 0])).weights

    graph = adapted.get_concrete_function().graph.as_graph_def()
    within = [node.op for function in graph.library.function for node in function.node_def]
    assert [node.op for node in graph.node].count("Conv2D") == 1
    assert "MatMul" in within
    assert "Conv2D" not in within


def test_a_part_that_does_not_say_so_keeps_every_layer_in_every_step():
    class Doubled(PlainGradient):
        def directions(self, context, prepared, values, gradients):
            return [2 * gradient for gradient in gradients]

    class Declared(Doubled):
        only_adapted = True

    for direction, layers in ((Doubled(), []), (Declared(), ["conv", "norm", "flat"])):
        descent = GradientDescent(rates=FixedRates(0.1), direction=direction)
        assert tfmeta.MetaLearner(network(), descent, adapted=HEAD).trunk_layers == layers


def test_noise_in_the_trunk_is_drawn_anew_in_each_step():
    keras.utils.set_random_seed(1)
    noisy = keras.Sequential(
        [
            keras.Input((3,), dtype="float64"),
            keras.layers.Dense(4, name="first", dtype="float64"),
            keras.layers.Dropout(0.5, dtype="float64"),
            keras.layers.Dense(3, name="head", dtype="float64"),
        ]
    )
    learner = compiled(tfmeta.MAML(noisy, 0.3, 2, adapted=HEAD, dropout=True))
    assert learner.trunk_layers == ["first"]
    rng = np.random.default_rng(0)
    task = Task(*(Examples(tf.constant(rng.normal(size=(n, 3))), tf.range(n) % 3) for n in (6, 4)))
    found = contribution(learner, task)
    assert_equal(found, contribution(without_trunk(learner), task))


def test_sets_padded_to_different_lengths_are_not_joined():
    keras.utils.set_random_seed(1)
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 4, name="embedding", dtype="float64")(tokens)
    pooled = keras.layers.GlobalAveragePooling1D(dtype="float64")(embedded)
    texts = keras.Model(tokens, keras.layers.Dense(3, name="head", dtype="float64")(pooled))
    learner = compiled(tfmeta.MAML(texts, 0.3, 2, adapted=HEAD, parallel="sequential"))
    assert learner.trunk_layers[0] == "embedding"
    rng = np.random.default_rng(0)
    support, query = (
        rng.integers(9, size=(2, *size)).astype("int32") for size in ((6, 10), (4, 12))
    )
    labels = [rng.integers(3, size=part.shape[:2]) for part in (support, query)]
    x, y = (support, labels[0], query), labels[1]

    def results():
        gradient, outputs = learner.meta_gradient(x, y)
        return [*gradient, outputs]

    found = results()
    assert all(np.any(value) for value in found)
    before = learner.get_weights()
    learner.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    step = [a - b for a, b in zip(before, learner.get_weights(), strict=True)]
    assert any(np.any(change) for change in step)
    learner.set_weights(before)
    without_trunk(learner)
    assert_equal(found, results())
