"""What is written for machines without TensorFlow can be read and run there."""

import importlib.util
import re
import sys

import numpy as np
import pytest

from benchmarks import agreement, lowered_files, lowering, turns
from benchmarks.entries import CONTESTANTS
from benchmarks.workloads import WORKLOADS, changed

SMALL = {"filters": 2, "tasks": 2}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("omniglot_5way_1shot", marks=pytest.mark.slow),
        pytest.param("omniglot_reptile", marks=pytest.mark.product),
        "adaptation_50steps_32tasks",
    ],
)
def test_the_text_is_of_operations_that_every_compiler_has(name):
    workload = changed(WORKLOADS[name], SMALL)
    text, arrays, outputs = lowering.lower(workload)

    assert "custom_call" not in text
    # Every product says that it is not to be rounded.
    assert not re.search(r"precision[^\n]*DEFAULT", text)
    assert arrays["keys"].shape == (2, 2)
    if workload.outputs() == ["query_outputs"]:
        assert outputs == [[2, 75, 5]]
    else:
        # Weights, two moments, the count, the loss, and the gradient.
        weights = [list(w.shape) for w in workload.problem.weights().values()]
        assert outputs == [*weights * 3, [], [], *weights]


def test_products_are_not_rounded_elsewhere_after_lowering():
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    lowering.lower(WORKLOADS["sinusoid_1step"])
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(lowered_files.VARIABLE, str(tmp_path))
    workload = WORKLOADS["sinusoid_1step"]
    loss, gradient = CONTESTANTS["stock_vectorized_map"].runner(workload).answer()
    arrays = dict(zip(workload.outputs(), map(np.asarray, gradient), strict=True))
    answers = {lowered_files.EXACT: agreement.Answer(float(loss), arrays, 0.0)}
    text, arrays, outputs = lowering.lower(workload)
    lowered_files.write(tmp_path, "sinusoid_1step", text, arrays, answers, outputs=outputs)
    return tmp_path


def test_what_is_written_is_read(folder):
    text, arrays, outputs = lowering.lower(WORKLOADS["sinusoid_1step"])
    assert lowered_files.text("sinusoid_1step").count("\n") == text.count("\n")
    assert lowered_files.about("sinusoid_1step")["outputs"] == outputs
    assert list(lowered_files.arrays("sinusoid_1step")) == list(arrays)
    assert lowered_files.answer("sinusoid_1step", lowered_files.EXACT).loss > 0


def test_jax_computes_what_was_lowered(folder):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed here")
    workload = WORKLOADS["sinusoid_1step"]
    process = turns.Process("tfmeta_lowered", "sinusoid_1step", sys.executable, 1)
    try:
        process.ask("build")
        found = agreement.ask(process, workload, 300.0)
    finally:
        process.close()
    exact = lowered_files.answer("sinusoid_1step", lowered_files.EXACT)
    assert max(agreement.distance(workload, found, exact)) < 1e-5
