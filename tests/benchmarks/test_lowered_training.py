"""A training step as a function of tensors: the step of a run, and what JAX makes of it."""

import importlib.util
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from benchmarks import lowered_files, lowered_step, lowered_training
from tfmeta.runs.recipe import config, read_recipe
from tfmeta.runs.training import Training
from tfmeta.runs.workdir import WorkDir

SHORT = (
    *("train.steps = 4", "train.tasks_per_step = 3"),
    *("validate.every = 0", "evaluate.checkpoint = 'last'"),
)
SCHEDULE = keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)


def stream():
    return tfmeta.tasks.sinusoid("train", shots=3, queries=4, seed=1)


def training_of(optimizer, **options):
    """A training whose network has state that moves, and whose gradient is clipped."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, "tanh"), keras.layers.BatchNormalization()]
    network = keras.Sequential([keras.Input([1]), *layers, keras.layers.Dense(1)])
    options = {"normalization": "running", "meta_gradient_clip": 0.01, **options}
    learner = tfmeta.MetaSGD(network, inner_steps=2, **options)
    learner.compile(optimizer, "mse")
    training = Training(learner, tf.distribute.get_strategy(), 3, False, "vectorized")
    training.build(stream())
    return training


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.01),
        pytest.param(lambda: keras.optimizers.SGD(SCHEDULE), marks=pytest.mark.slow),
    ],
)
def test_the_step_is_that_of_a_run(make):
    training = training_of(make())
    variables = lowered_step.variables_of(training)
    values = [tf.convert_to_tensor(variable) for variable in variables]
    step = tf.function(lowered_step.step_function(training, stream()), autograph=False)
    for _ in range(3):
        *values, loss = step(*values)
    before = [variable.numpy() for variable in variables]
    training.start(lambda first: stream())
    done = training.advance(3)
    assert np.isfinite(loss)
    assert done.step == 3
    moved = 0
    for variable, value, old in zip(variables, values, before, strict=True):
        np.testing.assert_allclose(value, variable, rtol=2e-6, atol=1e-7)
        moved += not np.array_equal(old, variable.numpy())
    state = len(training.learner.state_variables)
    assert state
    assert moved >= len(training.learner.parameter_variables) + 2


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (keras.optimizers.Adam(clipnorm=1.0), "Adam with {'clipnorm': 1.0}"),
        (keras.optimizers.RMSprop(), "RMSprop"),
        (keras.optimizers.SGD(0.1, momentum=0.9), "'momentum': 0.9"),
    ],
)
def test_an_optimizer_that_is_not_written_out_is_refused(optimizer, said):
    learner = types.SimpleNamespace(optimizer=optimizer)
    with pytest.raises(ValueError, match=re.escape(said)):
        lowered_step.outer_update(learner)


@pytest.fixture(scope="module")
def settings():
    with config.configured(read_recipe(["sinusoid_maml.gin"], SHORT)) as found:
        yield found


def test_a_folder_becomes_a_work_directory(settings, tmp_path):
    lowered_training.write(settings, tmp_path)
    carry = lowered_files.read_list(tmp_path / lowered_files.CARRY)
    carry[0], carry[-1] = carry[0] + 1, np.int64(4)
    lowered_files.write_list(tmp_path / lowered_files.CARRY, carry)
    (tmp_path / lowered_files.LOSSES).write_text("2,0.5,1.0\n4,0.25,1.5\n")
    place = WorkDir(tmp_path / "run")
    lowered_training.adopt(settings, tmp_path, place)
    assert place.checkpoints().steps() == [4]
    assert place.record()["choices"]["reason"] == lowered_training.ABOUT
    learner = tfmeta.restore(place.path)
    np.testing.assert_array_equal(learner.parameter_variables[0], carry[0])


def test_jax_trains_what_was_lowered(settings, tmp_path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed here")
    from benchmarks import train_lowered

    lowered_training.write(settings, tmp_path)
    text = lowered_files.gzip.decompress((tmp_path / "step.mlir.gz").read_bytes()).decode()
    carry, fixed = (
        lowered_files.read_list(tmp_path / name) for name in (lowered_files.CARRY, "fixed.npz")
    )
    *found, _ = train_lowered.compiled(text, carry, fixed)(*carry, *fixed)
    training = lowered_training.built(settings)
    training.start(lambda first: lowered_training.building.train_stream(settings, first))
    training.advance(1)
    for variable, value in zip(lowered_step.variables_of(training), found, strict=True):
        np.testing.assert_allclose(value, variable, rtol=1e-4, atol=1e-6)
