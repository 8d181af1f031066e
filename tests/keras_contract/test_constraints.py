"""Weight constraints hold for adapted weights, after every inner step, as in Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import constraints, layers

import tfmeta
from tests.conformance import registry
from tests.marks import marked

RATE = 0.3


@keras.saving.register_keras_serializable("tests")
class LargestIsOne(constraints.Constraint):
    """A user's own."""

    def __call__(self, w):
        return w / keras.ops.maximum(keras.ops.max(keras.ops.abs(w)), 1.0)


CONSTRAINTS = {
    "non_neg": constraints.NonNeg(),
    "max_norm": constraints.MaxNorm(1.0),
    "unit_norm": constraints.UnitNorm(axis=1),
    "min_max_norm": constraints.MinMaxNorm(0.8, 1.1, rate=0.7),
    "own": LargestIsOne(),
}
# Learners whose adapted weights are drawn or implied, and those that make the head of a task
# themselves: of prototypes, of shared vectors, of a ridge regression.
REFUSING = (
    *("bmaml", "bfa", "platipus", "llama", "imaml"),
    *("prototypical_network", "proto_maml", "unicorn_maml", "r2d2"),
)


def constrained(constraint, seed=3, **options):
    """A tanh network 2-4-3 with constraints on all its kernels and on a bias."""
    keras.utils.set_random_seed(seed)
    options = {"kernel_constraint": constraint, "dtype": "float64", **options}
    network = keras.Sequential(
        [
            keras.Input((registry.INPUTS,), dtype="float64"),
            layers.Dense(4, activation="tanh", **options),
            layers.Dense(registry.OUTPUTS, name="head", bias_constraint="non_neg", **options),
        ]
    )
    for index, weight in enumerate(network.trainable_variables):
        # Positive: a weight on a bound has no derivative.
        value = np.random.default_rng(seed + index).uniform(0.2, 1.5, size=weight.shape)
        weight.assign(value if weight.constraint is None else weight.constraint(value))
    return network


def compiled(network, **options):
    learner = tfmeta.MAML(network, inner_rate=RATE, **{"inner_steps": 2, **options})
    learner.compile(keras.optimizers.SGD(0.1), "mse")
    return learner


@pytest.mark.parametrize("name", marked(CONSTRAINTS, ["max_norm"]))
def test_adapted_weights_are_those_of_keras_own_optimizer(name):
    (sx, sy, _), _ = registry.batch(tasks=2)
    network = constrained(CONSTRAINTS[name])
    start = network.get_weights()
    learner = compiled(network)
    adapted = learner.task_weights(sx, sy)
    for task in range(2):
        stock = constrained(CONSTRAINTS[name])
        stock.compile(keras.optimizers.SGD(RATE), "mse")
        for _ in range(2):
            stock.train_on_batch(sx[task], sy[task])
        for ours, theirs in zip(adapted, stock.trainable_variables, strict=True):
            np.testing.assert_allclose(ours[task], theirs.numpy(), atol=1e-6)
    for before, after in zip(start, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for name in CONSTRAINTS]
)
def test_meta_gradients_are_exact_through_the_projection(name):
    network = constrained(CONSTRAINTS[name])
    learner = compiled(network)
    x, y = registry.batch(tasks=2)
    gradient, _ = learner.meta_gradient(x, y)
    variables = network.trainable_variables
    rng = np.random.default_rng(0)
    direction = [rng.normal(size=v.shape) for v in variables]
    start = [v.numpy() for v in variables]
    tensors = tuple(map(tf.constant, x))

    def loss(step):
        for variable, value, way in zip(variables, start, direction, strict=True):
            variable.assign(value + step * way)
        return np.mean((learner(tensors).numpy() - y) ** 2)

    found = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
    differences = [(loss(h) - loss(-h)) / (2 * h) for h in (1e-4, 1e-5, 1e-6)]
    errors = [abs(difference / found - 1) for difference in differences]
    assert min(errors) < 1e-8, errors


def test_a_column_of_zeros_has_a_derivative():
    network = constrained(CONSTRAINTS["max_norm"], kernel_initializer="zeros")
    for variable in network.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    gradient, _ = compiled(network, inner_steps=1).meta_gradient(*registry.batch())
    assert all(np.all(np.isfinite(g)) for g in gradient)


def test_first_order_takes_the_gradient_at_the_adapted_weights():
    x, y = registry.batch(tasks=1)
    network = constrained(CONSTRAINTS["non_neg"])
    learner = compiled(network, inner_steps=1, first_order=True)
    gradient, _ = learner.meta_gradient(x, y)
    adapted = [weight[0] for weight in learner.task_weights(*x[:2])]
    with tf.GradientTape() as tape:
        tape.watch(adapted)
        outputs, _ = network.stateless_call(adapted, [], x[2][0])
        loss = tf.reduce_mean((outputs - y[0]) ** 2)
    for ours, theirs in zip(gradient, tape.gradient(loss, adapted), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("name", registry.some(quick=("platipus",), warp=None, variant=False))
def test_every_learner_keeps_constraints_or_refuses_them(name):
    entry = registry.LEARNERS[name]
    network = constrained(CONSTRAINTS["non_neg"])
    if name in REFUSING:
        with pytest.raises(ValueError, match=r"constraints of .*/kernel"):
            entry(network)
        return
    rate = {"inner_rate": RATE} if "inner_rate" in entry.settings else {}
    learner = entry(network, parallel="sequential", **rate)
    learner.compile("sgd", registry.loss(entry.kinds[0]), run_eagerly=True)
    x, y = entry.batch()
    learner.train_on_batch(x, y)
    support = x[:2] if not entry.joint else registry.batch("classification")[0][:2]
    adapted = learner.task_weights(*support)
    for variable, values in zip(network.trainable_variables, adapted, strict=True):
        if variable.constraint is not None:
            assert np.min(values) >= 0
            assert np.min(variable.numpy()) >= 0


@pytest.mark.slow
def test_an_exported_adaptation_keeps_constraints(tmp_path):
    learner = compiled(constrained(CONSTRAINTS["non_neg"]))
    loaded = tf.saved_model.load(learner.export(str(tmp_path)))
    (sx, sy, _), _ = registry.batch(tasks=1, dtype="float32")
    found = loaded.signatures["adapt"](
        support_inputs=tf.constant(sx[0]), support_targets=tf.constant(sy[0])
    )["adapted_weights"].numpy()
    assert np.min(found[:8]) >= 0
    np.testing.assert_allclose(
        found, np.concatenate([np.ravel(w[0]) for w in learner.task_weights(sx, sy)]), rtol=1e-5
    )
