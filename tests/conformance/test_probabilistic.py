"""Meta-gradients of probabilistic learners through layers of each kind.

A learner's objective at a fixed key is in its logs, so that one oracle, finite differences of
it, serves them all. A function is traced once a pair: eagerly each of its maps would be traced
at each call.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry, zoo
from tests.keras_contract.eagerly import eagerly
from tests.marks import marked
from tfmeta.inner import dot
from tfmeta.learners import checks
from tfmeta.tasks.task import Examples, Task

# Central differences; statistics of three examples have large third derivatives.
STEPS = (1e-6, 1e-7)
TOLERANCE = 1e-6

LEARNERS = [name for name, entry in registry.LEARNERS.items() if entry.oracle == "objective"]


def problem(make, layer, **options):
    """(function of parameters to (gradient, objective), parameters) of one task."""
    learner = make(layer.network(), **options)
    learner.compile(keras.optimizers.SGD(), "mse")
    rng = np.random.default_rng(1)
    parameters = [
        tf.constant(v.numpy() + 0.3 * rng.normal(size=v.shape) * (v.shape.rank > 0))
        for v in learner.parameter_variables
    ]
    task = Task(Examples(*layer.examples(3, seed=1)), Examples(*layer.examples(4, seed=2)))
    state = [tf.convert_to_tensor(v) for v in learner.state_variables]

    @tf.function(autograph=False)
    def found(parameters):
        result = learner.task_gradient(parameters, task, state, tf.constant([0, 0]))
        return result.gradient, result.logs["objective"]

    return found, parameters


def error(make, layer):
    """Relative error of the directional derivative, at the worse of `STEPS`."""
    function, parameters = problem(make, layer)
    gradient, _ = function(parameters)
    rng = np.random.default_rng(0)
    direction = [tf.constant(rng.normal(size=g.shape)) for g in gradient]
    # Partly along the gradient, so that the difference is no difference of equals.
    norms = [tf.sqrt(dot(x, x)) for x in (direction, gradient)]
    direction = [d / norms[0] + g / norms[1] for d, g in zip(direction, gradient, strict=True)]

    def objective(step):
        return function([p + step * d for p, d in zip(parameters, direction, strict=True)])[1]

    slopes = [(objective(h) - objective(-h)) / (2 * h) for h in STEPS]
    return max(abs(float(slope / dot(gradient, direction)) - 1) for slope in slopes)


# All see a network through one call; LLAMA's two curvatures see it in the same way.
PAIRS = [(layer, learner) for layer in zoo.KINDS for learner in LEARNERS]
QUICK = [
    *((layer, "bfa") for layer in ("dense_plain", "batch_norm_plain", "lstm_plain")),
    *(("dense_plain", learner) for learner in LEARNERS),
]
SLOW = [
    *((layer, "bfa") for layer in zoo.KINDS),
    *(("batch_norm_plain", learner) for learner in LEARNERS),
]


@pytest.mark.parametrize(("layer", "learner"), marked(PAIRS, QUICK, SLOW))
def test_meta_gradient_equals_finite_differences_at_a_fixed_key(layer, learner, monkeypatch):
    monkeypatch.setattr(checks, "check_exactness", lambda learner: None)
    assert error(registry.LEARNERS[learner], zoo.LAYERS[layer]) < TOLERANCE


@pytest.mark.usefixtures("stock_keras")
@pytest.mark.parametrize("learner", registry.some(quick=("bfa",), oracle="objective"))
def test_the_same_comparison_fails_with_stock_keras(learner):
    assert error(registry.LEARNERS[learner], zoo.LAYERS["batch_norm_plain"]) > 10 * TOLERANCE


# A map within the map over tasks is the same in all; BFA's is over particles.
@pytest.mark.parametrize(
    "learner", ["bfa", *(pytest.param(n, marks=pytest.mark.slow) for n in ("platipus", "llama"))]
)
def test_tasks_one_after_another_give_what_tasks_together_give(learner):
    layer = zoo.LAYERS["dense_plain"]
    (sx, sy), (qx, qy) = layer.examples(2, 3, seed=1), layer.examples(2, 4, seed=2)
    found = []
    for parallel in ("vectorized", "sequential"):
        keras.utils.set_random_seed(0)
        made = registry.LEARNERS[learner](layer.network(), parallel=parallel)
        made.compile(keras.optimizers.SGD(), "mse")
        gradients, outputs = made.meta_gradient((sx, sy, qx), qy)
        found.append([*gradients, outputs])
    for a, b in zip(*found, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(b))))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("learner", registry.some(quick=("bfa", "llama"), oracle="objective"))
def test_first_order_changes_the_gradient(learner):
    gradients = []
    for first_order in (False, True):
        keras.utils.set_random_seed(0)
        function, parameters = problem(
            registry.LEARNERS[learner], zoo.LAYERS["dense_plain"], first_order=first_order
        )
        with eagerly():  # a trace would serve a single call
            gradients.append(function(parameters)[0][0])
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-6
