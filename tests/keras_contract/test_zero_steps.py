"""`fit` without an inner step is Keras' training of the network; what cannot learn stands still."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import registry
from tests.keras_contract.reference_steps import largest_difference, stream, values

# Learners whose gradient at 0 steps is that of the queries' loss, at the network's weights.
OF_KERAS = ["maml", "meta_sgd", "mt_net", "imaml", "boil", "meta_curvature"]
# Learners that learn something of every inner step, and refuse to have none.
REFUSING = ("maml_plus_plus", "alfa", "gradient_combination")
# Reptile's is the displacement, which is 0; others have an objective of their own.
WITH_STEPS = registry.some(
    quick=("meta_sgd", "mt_net", "reptile", "imaml"),
    slow=("maml", "platipus", "cavia", "maml_plus_plus"),
    gradient_steps=True,
    variant=False,
)


def keras_gradients(entry, batch):
    """The mean over tasks of the gradients of Keras' own loss on the queries."""
    network, loss = registry.network(), registry.loss(entry.kinds[0])
    (_, _, query_x), query_y = batch
    totals = [np.zeros(variable.shape) for variable in network.trainable_variables]
    for inputs, targets in zip(query_x, query_y, strict=True):
        with tf.GradientTape() as tape:
            value = loss(targets, network(inputs, training=True))
        for total, found in zip(
            totals, tape.gradient(value, network.trainable_variables), strict=True
        ):
            total += found.numpy() / len(query_x)
    return totals


def fitted(name):
    """Movement of each parameter in one step of SGD(1.0), and the logs."""
    entry = registry.LEARNERS[name]
    learner = entry.compiled(optimizer=keras.optimizers.SGD(1.0), inner_steps=0)
    before, batch = values(learner.parameter_variables), entry.batch()
    logs = learner.fit(stream([batch]), verbose=0).history
    moved = [b - a for b, a in zip(before, values(learner.parameter_variables), strict=True)]
    return entry, learner, moved, logs, batch


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize("name", WITH_STEPS)
def test_fit_without_inner_steps_is_training_by_keras(name):
    if name in REFUSING:
        with pytest.raises((TypeError, ValueError), match="inner_steps"):
            registry.LEARNERS[name].compiled(inner_steps=0)
        return
    entry, learner, moved, logs, batch = fitted(name)
    assert np.isfinite(logs["loss"]).all()
    if name in OF_KERAS:
        expected = keras_gradients(entry, batch)
        # A loss of Keras computes in float32.
        assert largest_difference(moved[: len(expected)], expected) < 1e-6
        # Rates and masks direct steps that are not taken.
        assert all(not value.any() for value in moved[len(expected) :])
    elif name == "reptile":
        assert all(not value.any() for value in moved)
        support = [
            registry.loss("regression")(y, learner.network(x))
            for x, y in zip(*batch[0][:2], strict=True)
        ]
        np.testing.assert_allclose(logs["loss"], np.mean(support), rtol=1e-6)


@pytest.mark.slow
def test_adapted_patterns_change_nothing_without_an_inner_step():
    entry = registry.LEARNERS["imaml"]
    learner = entry.compiled(inner_steps=0, adapted="head/*")
    batch = entry.batch()
    gradients, _ = learner.meta_gradient(*batch)
    assert largest_difference(values(gradients), keras_gradients(entry, batch)) < 1e-6


@pytest.mark.usefixtures("further_cases_without_traces")
@pytest.mark.parametrize(
    "name",
    registry.some(
        quick=("maml", "prototypical_network"),
        slow=("meta_sgd", "reptile", "platipus", "fine_tuning", "r2d2"),
        variant=False,
    ),
)
def test_labels_as_floats_are_labels(name):
    entry = registry.LEARNERS[name]
    learner = entry.compiled("classification")
    (sx, sy, qx), qy = entry.batch("classification")
    whole = learner.meta_gradient((sx, sy, qx), qy)
    floats = learner.meta_gradient((sx, sy.astype("float32"), qx), qy.astype("float32"))
    assert largest_difference(values(floats[0]), values(whole[0])) < 1e-12
