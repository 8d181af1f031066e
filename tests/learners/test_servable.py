"""What the export room gets adapts as the learner itself does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error
from tfmeta.export import Signatures


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
    signatures = Signatures(learner.servable(target_shape=(1,)))
    x = np.linspace(-1, 1, 4, dtype="float32")[:, None]
    answer = signatures.functions["adapt_and_predict"](
        support_inputs=tf.constant(x),
        support_targets=tf.constant(x**2),
        query_inputs=tf.constant(x),
    )
    expected = learner.predict((x[None], x[None] ** 2, x[None]), verbose=0)[0]
    np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-5)
    learner.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"the shape \(2,\)\. Received: target_shape=\(1,\)"):
        learner.servable(target_shape=(1,))
