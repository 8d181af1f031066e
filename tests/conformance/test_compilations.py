"""One trace and one XLA compilation serve all steps of one shape, while variables change."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import tfmeta
from tests.conformance import registry
from tests.keras_contract.eagerly import eagerly

STEPS = 20


def image_network():
    """A small network with a convolution and running statistics."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Activation("tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="head"),
        ]
    )


def batch(shape, seed=0, tasks=2):
    """A batch of tasks with one-hot targets, `((support_x, support_y, query_x), query_y)`."""
    rng = np.random.default_rng(seed)

    def draw():
        return rng.normal(size=(tasks, 3, *shape)).astype("float32")

    def classes():
        return np.eye(2, dtype="float32")[rng.integers(2, size=(tasks, 3))]

    return (draw(), classes(), draw()), classes()


def counted(learner):
    """A list that grows with each trace of the learner's function of one task."""
    calls = []
    original = learner.task_gradient

    def task_gradient(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    # Around Keras' tracking of attributes, which is for layers and variables.
    object.__setattr__(learner, "task_gradient", task_gradient)
    return calls


# Who traces a task once does so in either way of mapping tasks; one learner of each loop shows it.
BOTH_WAYS = ("maml", "carrying_reptile", "bmaml")
# Graphs that take as long to trace as those of all others together, and variants of these here.
LARGE_OR_ALIKE = (
    "platipus", "llama", "llama_full", "bfa", "maml_plus_plus", "anil", "warped_mt_net",
    "gradient_combination",
)  # fmt: skip
QUICK = ("maml", "reptile", "carrying_reptile", "imaml", "bmaml", "fine_tuning", "r2d2", "cavia")
# An option that changes during training, and a minibatch smaller than the support set.
OPTIONS = {"maml_plus_plus": {"first_order_steps": 5}, "reptile": {"batch_size": 2}}


def learners_and_ways():
    """Every learner vectorised, and those of `BOTH_WAYS` sequentially."""
    for name in registry.LEARNERS:
        marks = pytest.mark.product if name in LARGE_OR_ALIKE else pytest.mark.slow
        yield pytest.param(name, "vectorized", marks=() if name in QUICK else marks)
        if name in BOTH_WAYS:
            yield pytest.param(name, "sequential")


@pytest.mark.parametrize(("name", "parallel"), learners_and_ways())
def test_steps_that_change_weights_trace_once(name, parallel):
    """And the first of them is the step that is computed without a trace."""
    entry = registry.LEARNERS[name]
    options = {"classes": 2} if entry.joint else OPTIONS.get(name, {})

    def made():
        keras.utils.set_random_seed(0)
        network = tfmeta.networks.mlp(hidden=(3,), outputs=2, input_dim=2, activation="tanh")
        learner = entry(network, parallel=parallel, **options)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        learner.compile(keras.optimizers.SGD(0.1), loss)
        return learner

    learner, untraced = made(), made()
    with eagerly():
        untraced.train_on_batch(*batch((2,)))
    calls = counted(learner)
    before = [v.numpy() for v in learner.parameter_variables]
    for seed in range(STEPS):
        learner.train_on_batch(*batch((2,), seed))
        learner.optimizer.learning_rate = 0.1 / (seed + 1)
        if seed == 0:
            for ours, theirs in zip(learner.variables, untraced.variables, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)

    assert len(calls) == 1
    after = [v.numpy() for v in learner.parameter_variables]
    changed = {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if np.any(a != b)}
    # A head or a context that every task sets anew is no part of training.
    optional = learner.task_functions.gradient_optional
    unmoved = {i for i, path in enumerate(learner.parameter_paths) if path in optional}
    assert changed | unmoved == set(range(len(before)))


def test_a_new_shape_is_traced_again_so_the_counter_can_count():
    learner = tfmeta.MAML(tfmeta.networks.mlp(hidden=(3,), outputs=2, input_dim=2), 0.1)
    learner.compile(keras.optimizers.Adam(1e-2), "mse")
    calls = counted(learner)
    for tasks in (2, 3, 2):
        learner.train_on_batch(*batch((2,), tasks=tasks))
    assert len(calls) == 2


def test_adaptation_traces_once_and_uses_the_weights_as_they_are():
    network = tfmeta.networks.mlp(hidden=(3,), outputs=2, input_dim=2)
    learner = tfmeta.MAML(network, 0.1)
    learner.compile("sgd", "mse")
    (support_x, support_y, query_x), query_y = batch((2,))
    results = []
    for scale in (1.0, 2.0, 3.0):
        network.trainable_variables[0].assign(scale * np.ones([2, 3], "float32"))
        results.append(learner.task_weights(support_x, support_y)[0].numpy())
        learner.meta_gradient((support_x, support_y, query_x), query_y)

    counts = [
        compiled.experimental_get_tracing_count()
        for guarded in learner.compiled_functions.values()
        for compiled in guarded._compiled.values()
    ]
    assert counts == [1, 1]
    assert abs(np.mean(results[2] - results[0]) - 2.0) < 0.5


def test_xla_compiles_once():
    script = pathlib.Path(__file__).with_name("count_compilations.py")
    root = script.parents[2]
    done = subprocess.run(
        [sys.executable, script, str(STEPS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=root,
        env={**_environment(), "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["counts"] == [[1, 1]] * STEPS
    assert len(set(found["losses"])) == STEPS


def _environment():
    return {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
