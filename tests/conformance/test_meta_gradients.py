"""Every learner's meta-gradient through every layer equals the learner's oracle.

Each pair runs once, on one small task, eagerly: tracing would cost more than running. All pairs,
some of them also over batches of tasks, traced, are `benchmarks/conformance_matrix.py`.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry, zoo
from tests.marks import marked
from tfmeta.inner import check_exactness, dot
from tfmeta.learners import checks
from tfmeta.tasks.task import Examples, Task

# Central differences; two neighbours of the ladder must agree.
STEPS = (1e-5, 1e-6)
TOLERANCE = 1e-6


def query_loss(learner, weights, task, state, key, inner_steps=None):
    """The query loss after adaptation, by default of the learner's own steps."""
    steps = learner.inner_steps if inner_steps is None else inner_steps
    adapted = learner.adapt_weights(weights, task.support, steps, state, key)
    return learner.query_loss(adapted.weights, state, task)[1]


def halfway_loss(learner, weights, task, state, key):
    """MAML++ of two steps, halfway through annealing: 1/4 and 3/4 of the steps' query losses."""
    losses = [query_loss(learner, weights, task, state, key, steps) for steps in (1, 2)]
    return 0.25 * losses[0] + 0.75 * losses[1]


def finite_difference_oracle(learner, weights, task, state, key, loss=query_loss):
    """MAML and its kin: differences of the (query) loss after adaptation."""
    gradient = learner.task_gradient(weights, task, state, key).gradient
    rng = np.random.default_rng(0)
    direction = [tf.constant(rng.normal(size=g.shape)) for g in gradient]
    # Partly along the gradient, so that the difference is no difference of equals.
    norms = [tf.sqrt(dot(x, x)) for x in (direction, gradient)]
    direction = [d / norms[0] + g / norms[1] for d, g in zip(direction, gradient, strict=True)]

    def loss_at(step):
        moved = [w + step * d for w, d in zip(weights, direction, strict=True)]
        return loss(learner, moved, task, state, key)

    found = [
        float((loss_at(h) - loss_at(-h)) / (2 * h) / dot(gradient, direction)) - 1 for h in STEPS
    ]
    return max(abs(value) for value in found)


def training_loss_oracle(learner, weights, task, state, key):
    """Baselines, which no inner loop trains: differences of the loss that training reports."""
    gradient = learner.task_gradient(weights, task, state, key).gradient
    rng = np.random.default_rng(0)
    direction = [tf.constant(rng.normal(size=g.shape)) for g in gradient]

    def loss(step):
        moved = [w + step * d for w, d in zip(weights, direction, strict=True)]
        return learner.task_gradient(moved, task, state, key).logs["loss"]

    slope = dot(gradient, direction)
    return max(abs(float((loss(h) - loss(-h)) / (2 * h) / slope) - 1) for h in STEPS)


def implicit_oracle(learner, weights, task, state, key):
    """IMAML: (I + H / lambda) x = g, with H x by differences of support gradients."""
    solved = learner.task_gradient(weights, task, state, key).gradient
    adapted = learner.adapt_weights(weights, task.support, learner.inner_steps, state, key).weights

    def gradient(examples, weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = learner.task_network.set_loss(weights, state, examples)
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]

    ends = [
        gradient(task.support, [w + h * x for w, x in zip(adapted, solved, strict=True)])
        for h in (1e-5, -1e-5)
    ]
    product = [(a - b) / 2e-5 for a, b in zip(*ends, strict=True)]
    right = gradient(task.query, adapted)
    residual = [
        x + p / learner.regularization - r for x, p, r in zip(solved, product, right, strict=True)
    ]
    # Relative to the part that second derivatives are needed for.
    share = [p / learner.regularization for p in product]
    return 1e-2 * float(tf.sqrt(dot(residual, residual) / dot(share, share)))


def interpolation_oracle(learner, weights, task, state, key):
    """Reptile and its kin, one step: weights minus weights after independently computed descent."""
    moved = learner.task_gradient(weights, task, state, key).gradient
    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs, _, _ = learner.task_network.pure(
            weights, state, task.support.inputs, batch_statistics=True
        )
        loss = tf.reduce_mean(tf.square(outputs - task.support.targets))
    descended = [registry.RATE * tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]
    difference = [m - d for m, d in zip(moved, descended, strict=True)]
    return float(tf.sqrt(dot(difference, difference) / dot(descended, descended)))


ORACLES = {
    "query_loss": finite_difference_oracle,
    "halfway_loss": functools.partial(finite_difference_oracle, loss=halfway_loss),
    "implicit": implicit_oracle,
    "displacement": interpolation_oracle,
    "training_loss": training_loss_oracle,
}
LEARNERS = [name for name, entry in registry.LEARNERS.items() if entry.oracle in ORACLES]

# Trained as another is, on their own comparison.
LIKE_ANOTHER = ("matching_network", "nearest_neighbor")
# One learner of each way to a gradient sees every layer, and MAML among the quick tests; the others
# see the kinds. `benchmarks/conformance_matrix.py` stores every pair.
EVERY_LAYER = ("maml", "imaml", "reptile", "prototypical_network")


PAIRS = [(layer, learner) for layer in zoo.LAYERS for learner in LEARNERS]
QUICK = [p for p in PAIRS if p[1] == "maml" or (p[0] in zoo.KINDS and p[1] not in LIKE_ANOTHER)]
SLOW = [p for p in PAIRS if p[1] in EVERY_LAYER or p[0] in zoo.KINDS]


def error(entry, layer):
    """The relative error of a learner's oracle through a layer."""
    options = {"classes": zoo.OUTPUTS} if entry.joint else {}
    learner = entry.exact_learner(layer.network(), **options)
    if entry.oracle == "halfway_loss":
        learner.meta_step.assign(learner.multi_step_loss_steps // 2)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True) if entry.classifies else "mse"
    learner.compile(keras.optimizers.SGD(), loss)
    rates = [tf.convert_to_tensor(v) for v in learner.parameter_variables]
    weights = zoo.weights_near(learner.network, seed=1)
    parameters = [*weights, *rates[len(weights) :]]
    task = Task(Examples(*layer.examples(3, seed=1)), Examples(*layer.examples(4, seed=2)))
    if entry.classifies:
        task = Task(*(_with_classes(examples) for examples in task))
    state = [tf.convert_to_tensor(v) for v in learner.state_variables]
    return ORACLES[entry.oracle](learner, parameters, task, state, tf.constant([0, 0]))


def _with_classes(examples):
    """The same inputs, in turn of each class."""
    count = examples.targets.shape[0]
    classes = tf.range(count) % zoo.OUTPUTS
    return examples._replace(targets=tf.one_hot(classes, zoo.OUTPUTS, dtype="float64"))


@pytest.mark.parametrize(("layer", "learner"), marked(PAIRS, QUICK, SLOW))
def test_meta_gradient_equals_its_oracle(layer, learner, monkeypatch):
    # The layer's own check is the next test, once a layer.
    monkeypatch.setattr(checks, "check_exactness", lambda learner: None)
    assert error(registry.LEARNERS[learner], zoo.LAYERS[layer]) < TOLERANCE


@pytest.mark.usefixtures("stock_keras")
@pytest.mark.parametrize("learner", ["maml", "meta_sgd", "imaml"])
def test_the_same_comparison_fails_with_stock_keras(learner):
    assert error(registry.LEARNERS[learner], zoo.LAYERS["batch_norm_plain"]) > 10 * TOLERANCE


@pytest.mark.parametrize("layer", zoo.LAYERS)
def test_no_layer_is_suspected_of_inexact_derivatives(layer):
    assert check_exactness(zoo.LAYERS[layer].network()) == []
