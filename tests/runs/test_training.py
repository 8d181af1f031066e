"""The compiled loop of meta-steps, and its resumption from a checkpoint."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.marks import marked
from tfmeta.runs.checkpoints import Checkpoints, state_of
from tfmeta.runs.training import Training


def _learner(name):
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.mlp(hidden=(6,))
    build = {
        "maml": lambda: tfmeta.MAML(network),
        "meta_sgd": lambda: tfmeta.MetaSGD(network),
        "reptile": lambda: tfmeta.Reptile(network, 1e-3, 2, carry_moments=True, batch_size=2),
        # Resumed at step 3, where its first-order phase has a step to go.
        "maml_plus_plus": lambda: tfmeta.MAMLPlusPlus(
            network, 0.01, 2, first_order_steps=4, multi_step_loss_steps=6
        ),
        "mt_net": lambda: tfmeta.MTNet(network),
    }
    learner = build[name]()
    learner.compile(keras.optimizers.Adam(1e-2), "mean_squared_error")
    return learner


def _training(name):
    training = Training(_learner(name), tf.distribute.get_strategy(), tasks_per_step=3)
    training.build(_stream(0))
    return training


def _stream(first):
    return tfmeta.tasks.sinusoid("train", shots=4, seed=0, start=first)


@pytest.fixture(scope="module")
def maml(tmp_path_factory):
    """A function that gives one compiled training as before its first step."""
    training = _training("maml")
    checkpoints = Checkpoints(tmp_path_factory.mktemp("maml"))
    checkpoints.save(0, training.state)

    def begin():
        checkpoints.restore(0, training.state)
        training.reset()
        training.start(_stream)
        return training

    return begin


def _values(training):
    return [v.numpy() for v in training.learner.parameter_variables]


@pytest.mark.parametrize(
    "name",
    # MAML++ has parameters and state of its own, Reptile minibatches by the task's index.
    marked(
        ["maml_plus_plus", "reptile", "maml", "meta_sgd", "mt_net"], ["maml_plus_plus"], ["reptile"]
    ),
)
def test_training_goes_on_bit_for_bit_and_not_without_the_optimizers_slots(tmp_path, name):
    checkpoints = Checkpoints(tmp_path)
    resumed = _training(name)
    resumed.start(_stream)
    resumed.advance(3)
    checkpoints.save(3, resumed.state)
    resumed.advance(4)
    whole = _values(resumed)

    # Of the same trace, whose variables all have values of a later step. `test_kill.py` resumes in
    # new processes.
    checkpoints.restore(3, resumed.state)
    resumed.start(_stream)
    assert resumed.step == 3
    resumed.advance(4)
    for a, b in zip(whole, _values(resumed), strict=True):
        np.testing.assert_array_equal(a, b)

    # The same without the optimizer's slots: they stay as a new process has them.
    for variable in resumed.learner.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    kept = dict(resumed.state._trackable_children())
    without_slots = {name: kept[name] for name in kept.keys() - {"optimizer", "save_counter"}}
    checkpoints.restore(3, tf.train.Checkpoint(**without_slots), counters=False)
    resumed.start(_stream)
    assert resumed.step == 3
    resumed.advance(4)
    assert any((a != b).any() for a, b in zip(whole, _values(resumed), strict=True))


@pytest.mark.slow
def test_annealing_goes_on_from_the_step_of_the_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    resumed = _training("maml_plus_plus")
    resumed.start(_stream)
    resumed.advance(3)
    checkpoints.save(3, resumed.state)
    resumed.learner.meta_step.assign(0)
    checkpoints.restore(3, resumed.state)
    assert int(resumed.learner.meta_step) == 3
    # Begun anew, the annealing would give other weights.
    ends = []
    for step in (3, 0):
        checkpoints.restore(3, resumed.state)
        resumed.learner.meta_step.assign(step)
        resumed.start(_stream)
        resumed.advance(2)
        ends.append(_values(resumed))
    assert any((a != b).any() for a, b in zip(*ends, strict=True))


def test_the_number_of_steps_of_a_call_does_not_touch_a_bit(maml):
    training = maml()
    for _ in range(5):
        first = training.advance(1)
    one, training = _values(training), maml()
    second = training.advance(5)
    assert (first.step, first.values) == (second.step, second.values)
    for a, b in zip(one, _values(training), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("asked", "way"), [(None, "auto"), ("sequential", "sequential")])
def test_a_way_to_compute_is_the_steps_alone(monkeypatch, asked, way):
    learner, seen = _learner("maml"), []
    compute = learner.compute_meta_gradient

    def seeing(*arguments):
        seen.append(learner.parallel)
        return compute(*arguments)

    monkeypatch.setattr(learner, "compute_meta_gradient", seeing)
    training = Training(learner, tf.distribute.get_strategy(), 3, parallel=asked)
    training.build(_stream(0))
    training.start(_stream)
    training.advance(2)
    assert set(seen) == {way}
    assert (training.parallel, learner.parallel) == (way, "auto")


def test_the_values_are_the_means_of_the_steps_since_the_last_reset(maml):
    training = maml()
    losses = []
    for _ in range(4):
        losses.append(training.advance(1).values["loss"])
        training.reset()
    again = maml()
    again.advance(2)
    assert again.advance(2).values["loss"] == pytest.approx(np.mean(losses), rel=1e-12)


def test_tasks_that_cannot_be_shared_evenly_are_refused_with_a_number_that_can():
    six = types.SimpleNamespace(num_replicas_in_sync=6)
    with pytest.raises(ValueError, match=r"multiple of the 6 devices.*Received: 8\. Take 12"):
        Training(_learner("maml"), six, tasks_per_step=8)


def test_a_state_holds_every_variable_of_learner_and_optimizer():
    learner = _learner("reptile")
    held = {v.ref() for v in _leaves(state_of(learner))}
    wanted = [*learner.variables, *learner.optimizer.variables, *learner.network.variables]
    metrics = {v.value.ref() for metric in learner.metrics for v in metric.variables}
    assert {v.value.ref() for v in wanted} - metrics <= held


def _leaves(state):
    for child in state._trackable_children().values():
        if isinstance(child, tf.Variable):
            yield child
        else:
            yield from child
