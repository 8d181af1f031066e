"""BFA and BMAML: particles, their meta-gradients, and where both become MAML."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, descend, relative_error, values
from tfmeta.inner import dot, svgd_direction

KEY = tf.constant([0, 0])


@pytest.mark.usefixtures("without_traces")
def test_one_particle_is_maml(problem):
    """With a deviation of sqrt(1/2), -log p of two outputs is twice the mean squared error."""
    network = problem.network()
    maml = compiled(tfmeta.MAML(network, 0.1, 2))
    one = compiled(tfmeta.BFA(network, 0.1, 2, particles=1, spread=0.0, noise=0.5**0.5))
    expected, outputs = maml.meta_gradient(*problem.batch)
    found, found_outputs = one.meta_gradient(*problem.batch)
    np.testing.assert_allclose(found_outputs, outputs, rtol=1e-12)
    assert relative_error([g[0] / 2 for g in found], expected) < 1e-12


def test_particles_without_repulsion_at_one_place_are_maml_each(problem):
    network = problem.network()
    many = compiled(tfmeta.BFA(network, 0.1, 2, particles=3, spread=0.0, temperature=0.0))
    weights = many.task_weights(problem.support_x, problem.support_y)
    expected = compiled(tfmeta.MAML(network, 0.1, 2)).task_weights(
        problem.support_x, problem.support_y
    )
    for particle in range(3):
        assert relative_error([w[:, particle] for w in weights], expected) < 1e-12


@pytest.mark.usefixtures("without_traces")
def test_the_leader_and_the_chaser_are_those_written_out(problem):
    learner = compiled(
        tfmeta.BMAML(problem.network(), 0.1, 2, leader_steps=3, particles=4, temperature=0.05)
    )
    task, parameters = problem.task(1), values(learner.parameter_variables)

    def steps(particles, examples, count):
        for _ in range(count):
            singles = [[p[m] for p in particles] for m in range(4)]
            moved = [descend(w, examples, 1.0, 1) for w in singles]
            gradients = [
                tf.stack([singles[m][i] - moved[m][i] for m in range(4)])
                for i in range(len(particles))
            ]
            directions = svgd_direction(particles, gradients, 0.05)
            particles = [p - 0.1 * d for p, d in zip(particles, directions, strict=True)]
        return particles

    chaser = steps(parameters, task.support, 2)
    every = type(task.support)(
        tf.concat([task.support.inputs, task.query.inputs], 0),
        tf.concat([task.support.targets, task.query.targets], 0),
    )
    leader = steps(chaser, every, 3)
    state = values(learner.state_variables)
    assert relative_error(learner.lead(chaser, parameters, task, state, KEY), leader) < 1e-12
    result = learner.task_gradient(parameters, task, state, KEY)
    distance = [c - v for c, v in zip(chaser, leader, strict=True)]
    np.testing.assert_allclose(result.logs["objective"], dot(distance, distance), rtol=1e-12)


@pytest.mark.usefixtures("without_traces")
def test_the_chasers_gradient_is_that_of_the_distance_to_a_leader_held_fixed(problem):
    learner = compiled(
        tfmeta.BMAML(problem.network(), 0.1, leader_steps=2, particles=3, temperature=0.05)
    )
    task, parameters = problem.task(0), values(learner.parameter_variables)
    state = values(learner.state_variables)
    gradient = learner.task_gradient(parameters, task, state, KEY).gradient
    rng = np.random.default_rng(3)
    along = [tf.constant(rng.normal(size=g.shape)) for g in gradient]
    chaser = learner.adapt_weights(parameters, task.support, 1, state, KEY).weights
    leader = learner.lead(chaser, parameters, task, state, KEY)

    def objective(step):
        moved = [p + step * d for p, d in zip(parameters, along, strict=True)]
        at = learner.adapt_weights(moved, task.support, 1, state, KEY).weights
        distance = [c - v for c, v in zip(at, leader, strict=True)]
        return dot(distance, distance)

    difference = (objective(1e-6) - objective(-1e-6)) / 2e-6
    np.testing.assert_allclose(dot(gradient, along), difference, rtol=1e-7)


def test_particles_start_apart_or_together_as_spread_says(problem):
    network = problem.network()
    kernel = network.trainable_variables[0].numpy()
    together = tfmeta.BFA(network, particles=3, spread=0.0)
    np.testing.assert_allclose(together.particle_variables[0], [kernel] * 3, rtol=1e-12)
    apart = tfmeta.BFA(network, particles=200, spread=1.0).particle_variables[0].numpy()
    np.testing.assert_allclose(apart.std(), kernel.std(), rtol=0.1)
    assert np.abs(np.corrcoef(apart.reshape(200, -1))[0, 1:]).mean() < 0.5


@pytest.mark.usefixtures("without_traces")
def test_weights_that_do_not_adapt_are_shared_and_trained(problem):
    learner = compiled(tfmeta.BMAML(problem.network(), 0.1, particles=3, adapted="head/*"))
    shapes = [tuple(v.shape) for v in learner.parameter_variables]
    assert shapes == [(2, 4), (4,), (3, 4, 2), (3, 2)]
    before = [v.numpy() for v in learner.parameter_variables]
    learner.train_on_batch(*problem.batch)
    after = values(learner.parameter_variables)
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert [w.shape for w in learner.task_samples(problem.support_x, problem.support_y)] == [
        (3, 3, 2, 4),
        (3, 3, 4),
        (3, 3, 4, 2),
        (3, 3, 2),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"particles": 0}, "samples must be a whole number, 1 or more. Received: 0"),
        ({"temperature": -1.0}, "temperature must be 0 or more. Received: -1.0"),
        ({"spread": 2.0}, "spread must be from 0 to 1. Received: 2.0"),
        ({"noise": 0.0}, "noise must be above 0. Received: 0.0"),
        ({"leader_steps": 0}, "leader_steps must be a whole number, 1 or more. Received: 0"),
    ],
)
def test_wrong_options_say_what_is_wrong(problem, options, message):
    with pytest.raises(ValueError, match=message):
        tfmeta.BMAML(problem.network(), **options)


def test_a_number_of_samples_that_is_not_that_of_the_particles_is_refused(problem):
    learner = compiled(tfmeta.BMAML(problem.network(), particles=3))
    with pytest.raises(ValueError, match=r"The samples are the 3 particles. Received: samples=5"):
        learner.task_samples(problem.support_x, problem.support_y, 5)
    with pytest.raises(
        ValueError, match=r"needs a loss that is a likelihood.*'mean_absolute_error'"
    ):
        learner.compile("sgd", "mae")


def test_training_lowers_the_error_of_the_mean_prediction(problem):
    learner = tfmeta.BMAML(problem.network(), 0.2, particles=3, temperature=1e-3)
    learner.compile(keras.optimizers.Adam(0.02), "mse")
    losses = [
        float(learner.train_on_batch(*problem.batch, return_dict=True)["loss"]) for _ in range(40)
    ]
    assert losses[-1] < 0.8 * losses[0]
