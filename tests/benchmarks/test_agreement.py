"""Contestants agree, and one that computes something else is found out."""

import importlib.util
import math
import sys

import numpy as np
import pytest

from benchmarks import agreement, turns
from benchmarks.entries import CONTESTANTS
from benchmarks.workloads import WORKLOADS, changed

# Small, so that each is built and run in a moment.
CHANGES = {
    "sinusoid_1step": {},
    "omniglot_5way_1shot": {"filters": 4},
    "omniglot_reptile": {"filters": 4},
    "omniglot_imaml": {"filters": 4, "inner_steps": 2},
    "adaptation_1steps_32tasks": {"filters": 4},
}
CHANGES = {name: {"dtype": "float64", "tasks": 2, **own} for name, own in CHANGES.items()}
OTHERS = ["pytorch_loop", "torch_func_vmap", "torchopt", "higher", "jax_vmap", "jax_lax_map"]
MODULES = {"torchopt": "torchopt", "higher": "higher"}


@pytest.fixture(autouse=True)
def no_trial(monkeypatch):
    """The first way is taken, as by a run too short to try others."""
    monkeypatch.setattr("benchmarks.contestants.tfmeta.chosen._STEPS", 1)


def answer(name, workload):
    """In this process."""
    loss, arrays = CONTESTANTS[name].runner(workload).answer()
    arrays = dict(zip(workload.outputs(), map(np.asarray, arrays), strict=True))
    return agreement.Answer(None if loss is None else float(loss), arrays, 0.0)


def small(workload_name):
    return changed(WORKLOADS[workload_name], CHANGES[workload_name])


@pytest.mark.parametrize("workload_name", ["sinusoid_1step", "omniglot_5way_1shot"])
def test_tfmeta_computes_what_plain_tensorflow_does(workload_name):
    workload = small(workload_name)
    far = agreement.distance(
        workload, answer("tfmeta", workload), answer("stock_vectorized_map", workload)
    )
    assert max(far) < agreement.FLOAT64_TOLERANCE


def test_a_contestant_that_computes_something_else_is_named():
    workload = small("sinusoid_1step")
    other = answer("stock_map_fn", changed(workload, {"first_order": True}))
    far = agreement.distance(workload, other, answer("tfmeta", workload))

    assert far.arrays > agreement.FLOAT32_TOLERANCE.arrays
    with pytest.raises(agreement.Disagreement, match="Received: stock_map_fn"):
        agreement.check("stock_map_fn", far, agreement.FLOAT32_TOLERANCE)


def test_an_equal_gradient_of_another_loss_is_no_agreement():
    workload = small("sinusoid_1step")
    arrays = workload.problem.weights()
    found, expected = (agreement.Answer(loss, arrays, 0.0) for loss in (1.1, 1.0))

    far = agreement.distance(workload, found, expected)
    assert far == (0.0, pytest.approx(0.1))
    with pytest.raises(agreement.Disagreement, match="loss to"):
        agreement.check("tfmeta", far, agreement.FLOAT32_TOLERANCE)


def test_what_is_not_a_number_is_no_agreement():
    with pytest.raises(agreement.Disagreement):
        agreement.check("tfmeta", agreement.Distance(math.nan, 0.0), (1.0, 1.0))


def test_weights_that_rounding_decides_are_not_compared():
    workload = small("omniglot_reptile")
    arrays = workload.problem.weights()
    moved = arrays | {"conv_1/bias": arrays["conv_1/bias"] + 1.0}
    found, expected = (agreement.Answer(1.0, values, 0.0) for values in (moved, arrays))

    assert agreement.distance(workload, found, expected) == (0.0, 0.0)


@pytest.mark.parametrize("workload_name", CHANGES)
@pytest.mark.parametrize("name", OTHERS)
def test_other_frameworks_compute_what_tfmeta_does(name, workload_name):
    workload, contestant = small(workload_name), CONTESTANTS[name]
    module = MODULES.get(name, contestant.interpreter)
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed here")
    if not contestant.takes_part(workload):
        pytest.skip(f"{name} does not take part in {workload_name}")
    # In a process of its own: two frameworks in one fight over threads.
    process = turns.Process(name, workload_name, sys.executable, 1, CHANGES[workload_name])
    try:
        process.ask("build")
        found = agreement.ask(process, workload, 300.0)
    finally:
        process.close()

    far = agreement.distance(workload, found, answer("tfmeta", workload))
    assert max(far) < agreement.FLOAT64_TOLERANCE
