"""What the export room gets adapts as the learner itself does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.keras_contract.eagerly import eagerly
from tests.learners.conftest import compiled, relative_error, values
from tfmeta.saved_model.limits import Limits
from tfmeta.saved_model.requests import Requests


def test_minibatches_of_an_export_are_those_of_the_learner_whatever_its_seed(problem):
    learner = compiled(
        tfmeta.Reptile(problem.network(), inner_rate=0.1, inner_steps=2, batch_size=2, seed=3)
    )
    served = learner.servable()
    support = problem.task(0).support
    weights, _ = served.adapt(
        [tf.convert_to_tensor(v) for v in served.parameters],
        support.inputs,
        support.targets,
        2,
        1.0,
        [tf.convert_to_tensor(v) for v in served.state],
    )
    own = learner.task_weights(problem.support_x[:1], problem.support_y[:1])
    assert relative_error(weights, [np.asarray(w[0]) for w in own]) < 1e-12


def test_a_loss_of_its_own_says_the_shape_of_its_targets():
    def deviation(targets, outputs):
        mean, log_scale = outputs[..., 0], outputs[..., 1]
        errors = keras.ops.square(targets[..., 0] - mean)
        return log_scale + errors * keras.ops.exp(-2 * log_scale)

    learner = tfmeta.MAML(tfmeta.networks.mlp((4,), outputs=2))
    learner.compile("sgd", deviation)
    assert learner.servable().target_shape == (2,)
    servable = learner.servable(target_shape=(1,))
    assert Requests(servable, Limits()).specs()["adapt"]["support_targets"][0] == (None, 1)
    x = tf.linspace([-1.0], [1.0], 4)
    with eagerly():
        weights, _ = servable.adapt(
            values(servable.parameters), x, x**2, servable.inner_steps, 1.0, servable.state
        )
        answer = servable.outputs(weights, servable.state, x, None)
        expected = learner((x[None], x[None] ** 2, x[None]))[0]
    np.testing.assert_allclose(answer, expected, rtol=1e-5)
    learner.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"the shape \(2,\)\. Received: target_shape=\(1,\)"):
        learner.servable(target_shape=(1,))
