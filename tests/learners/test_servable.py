"""What the export room gets adapts as the learner itself does."""

import numpy as np
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error


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
