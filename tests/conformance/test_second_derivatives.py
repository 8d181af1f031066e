"""Hessian-vector products through every layer equal finite differences of gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import zoo
from tests.marks import marked
from tfmeta.inner import hessian_vector_product

STEPS = (1e-5, 1e-6, 1e-7, 1e-8)
TOLERANCE = 1e-6
DIRECTIONS = 3


def errors(layer):
    """Relative error of the product, [directions, steps of the finite difference]."""
    pure = layer.pure()
    state = zoo.state_of(pure.network)
    loss = zoo.squared_error(pure, state, *layer.examples(3))
    weights = zoo.weights_near(pure.network, seed=1)

    @tf.function(autograph=False)
    def product(vector):
        return hessian_vector_product(loss, weights, vector)

    @tf.function(autograph=False)
    def gradient(moved):
        with tf.GradientTape() as tape:
            tape.watch(moved)
            value = loss(moved)
        return flat(tape.gradient(value, moved))

    def difference(vector, step):
        ends = [
            gradient([w + h * v for w, v in zip(weights, vector, strict=True)])
            for h in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    found = []
    for direction in range(DIRECTIONS):
        rng = np.random.default_rng(direction)
        vector = [tf.constant(rng.normal(size=w.shape)) for w in weights]
        exact = flat(product(vector))
        found.append(
            [float(tf.norm(difference(vector, h) - exact) / tf.norm(exact)) for h in STEPS]
        )
    return np.array(found)


def flat(tensors):
    return tf.concat([tf.reshape(tf.convert_to_tensor(t), [-1]) for t in tensors], axis=0)


def agree(found):
    """Whether, in each direction, two neighbouring steps of the ladder are within tolerance.

    One step alone may agree by chance, and on a kink none does.
    """
    within = found < TOLERANCE
    return bool(np.all(np.any(within[:, 1:] & within[:, :-1], axis=1)))


# MAML's meta-gradient, which holds this product, sees every layer among the quick tests.
@pytest.mark.parametrize("name", marked(zoo.LAYERS, zoo.KINDS))
def test_hessian_vector_product_equals_finite_differences(name):
    found = errors(zoo.LAYERS[name])
    assert agree(found), found


@pytest.mark.parametrize(
    "name",
    ["batch_norm_plain", "layer_norm_plain", "group_norm_plain", "max_pool2d_same"],
)
@pytest.mark.usefixtures("stock_keras")
def test_the_same_comparison_fails_with_stock_keras(name):
    found = errors(zoo.LAYERS[name])
    assert not agree(found)
    assert found.min() > 1e-3
